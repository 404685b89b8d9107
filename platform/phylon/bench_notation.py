"""How the tables of `phylon bench` write architectures."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, final

from phylon.errors import ConfigurationError, SpaceError
from phylon.search.architecture import Architecture
from phylon.search.cell import Cell
from phylon.search.space import SearchSpace
from phylon.trainables.nasbench201 import CELL, nasbench201_space

_OPERATION = re.compile(r"([^|+~]+)~")


@final
class Notation:
    """The text that stands for an architecture of a space.

    It is JSON, ``{"width": 8}``; but where a single cell is all there is to decide, the cell is
    written as in NAS-Bench-201: ``|skip_connect~0|+|none~0|nor_conv_3x3~1|``. Both can be read.

    Args:
        space: The space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.cells = {name: node for name, node in space.root.nodes if isinstance(node, Cell)}
        others = {name: node for name, node in space.root.nodes if name not in self.cells}
        self._is_cell = len(self.cells) == 1 and all(node.size == 1 for node in others.values())
        self._constants = (
            {name: next(node.enumerate()) for name, node in others.items()} if self._is_cell else {}
        )

    def read(self, text: str) -> Architecture:
        """Return the architecture that a text stands for.

        Raises:
            SpaceError: It stands for none of the space; the message says where it goes wrong.
        """
        if self._is_cell and not text.lstrip().startswith("{"):
            ((name, cell),) = self.cells.items()
            return Architecture({name: cell.read(text), **self._constants})
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            place = f"at position {error.pos}"
            raise SpaceError(f"{text!r} is not valid JSON: {error.msg} {place}") from None
        architecture = Architecture(data)
        self.space.validate(architecture)
        return architecture

    def write(self, architecture: Architecture) -> str:
        """Undo `read`."""
        nested: dict[str, Any] = architecture.nested
        if self._is_cell:
            ((name, cell),) = self.cells.items()
            return cell.write(nested[name])
        return json.dumps(nested, separators=(",", ":"))


def infer_space(texts: Sequence[str], place: str) -> SearchSpace:
    """Return the space of which all these cells are.

    It is that of NAS-Bench-201 if most texts can be its cells; else that of all cells with the
    operations that occur, and so many nodes as most texts have.

    Args:
        texts: Architectures in the notation of cells.
        place: The table, for messages.

    Raises:
        ConfigurationError: The texts are no cells.
    """
    used = [frozenset(_OPERATION.findall(text)) for text in texts]
    if 2 * sum(not operations for operations in used) >= len(texts):
        raise ConfigurationError(
            f"{place} does not tell its space, and its architectures are no cells, for which it "
            "could be inferred; name it by --space, or write the table by "
            "phylon.bench_table.write_table, which stores it"
        )
    nodes = Counter(text.count("+") + 2 for text in texts).most_common(1)[0][0]
    known = frozenset(CELL.operations)
    if nodes == CELL.nodes and 2 * sum(operations <= known for operations in used) > len(texts):
        return nasbench201_space()
    return SearchSpace(cell=Cell(nodes, tuple(sorted(frozenset[str]().union(*used)))))
