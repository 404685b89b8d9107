"""Search spaces: pure definitions of which architectures there are."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phylon.search.architecture import Architecture, Path, dotted
from phylon.search.blocks import Block, Repeat
from phylon.search.choice import Choice
from phylon.search.errors import SpaceError
from phylon.search.graph import Graph
from phylon.search.node import Node
from phylon.search.parsing import parse_block


@final
class SearchSpace:
    """A tree of decisions, given as keywords or as one mapping.

    >>> from phylon.search import Choice, Integer, Repeat
    >>> space = SearchSpace(
    ...     act=Choice("relu", "gelu"),
    ...     stages=Repeat(Block(width=Integer(8, 64, step=8)), 1, 3),
    ...     block=Choice(plain=Block(), residual=Block(kernel=Choice(3, 5))),
    ... )
    >>> net = space.sample(np.random.default_rng(1))
    >>> net in space
    True
    >>> space.size
    3504

    Equal when they define the same architectures in the same way; the order of names is no matter.

    Attributes:
        root: The block of all decisions.
        size: Number of architectures, an int; `math.inf` if one may hold a float without levels.

    Raises:
        SpaceError: The definition is empty or ill-formed.
    """

    __slots__ = ("_merges", "root", "size")

    root: Block
    size: float

    def __init__(
        self, decisions: Mapping[str, Node[Any]] | None = None, /, **nodes: Node[Any]
    ) -> None:
        self.root = Block(**{**(decisions or {}), **nodes})
        if not self.root.nodes:
            raise SpaceError("SearchSpace: there is nothing to decide; give at least one node")
        self.size = self.root.size
        self._merges = _merges(self.root)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw an architecture: every option, count and number of equal chance where it is met."""
        return Architecture(self.root.sample(rng))

    def validate(self, architecture: Architecture) -> None:
        """Check that an architecture belongs to the space.

        Raises:
            SpaceError: It does not; the message names the path, the value and what is allowed.
        """
        self.root.check(architecture.nested, ())

    def __contains__(self, architecture: object) -> bool:
        try:
            self.validate(architecture) if isinstance(architecture, Architecture) else None
        except SpaceError:
            return False
        return isinstance(architecture, Architecture)

    def key(self, architecture: Architecture) -> str:
        """Return 16 digits that are equal for architectures that are the same network.

        Only cells know of different decisions that come to the same; without one, this is the
        architecture's own key.
        """
        if not self._merges:
            return architecture.key
        text = json.dumps(self.root.canonical(architecture.nested), separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def distinct(self) -> SearchSpace:
        """Return the space with the same architectures, each with a key of its own; see `Graph`."""
        return SearchSpace({name: _distinct(node) for name, node in self.root.nodes})

    @property
    def width(self) -> int:
        """Number of columns of the vector view: one for each decision that can ever be live."""
        return self.root.width

    def encode(self, architecture: Architecture) -> NDArray[np.float64]:
        """Return an architecture as a vector of shape ``(width,)``.

        Numbers stand for themselves, options for their index, repeats for their count; decisions
        that are not live are NaN.

        Raises:
            SpaceError: The architecture does not belong to the space.
        """
        self.validate(architecture)
        return np.array(self.root.encode(architecture.nested), dtype=np.float64)

    def decode(self, vector: ArrayLike) -> Architecture:
        """Undo `encode`, exactly; what stands in columns that are not live is ignored.

        Args:
            vector: Numbers of shape ``(width,)``.

        Raises:
            SpaceError: The shape is another, or a number stands for nothing that is allowed.
        """
        numbers = np.asarray(vector, dtype=np.float64)
        if numbers.shape != (self.width,):
            raise SpaceError(f"the vector has shape {numbers.shape}; allowed: ({self.width},)")
        architecture = Architecture(self.root.decode(numbers.tolist()))
        self.validate(architecture)
        return architecture

    def enumerate(self) -> Iterator[Architecture]:
        """Yield every architecture once, lazily, always in the same order.

        Raises:
            SpaceError: The space is infinite.
        """
        if self.size == math.inf:
            raise SpaceError("the space holds floats without levels, so it has no end; sample it")
        return map(Architecture, self.root.enumerate())

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data from which `from_json` makes an equal space."""
        return self.root.decisions_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SearchSpace:
        """Undo `to_json`; see `phylon.search.parsing` for what may be written.

        Raises:
            SpaceError: The data defines no space; the message begins with the place.
        """
        return cls(parse_block(data, "space").children)

    def differences(self, other: SearchSpace) -> list[str]:
        """Return in words what changed from this space to `other`; empty if they are equal."""
        return list(_differences(self.root, other.root, ()))

    def __eq__(self, other: object) -> bool:
        # Through JSON, where 1, 1.0 and True are three constants.
        return self._text() == other._text() if isinstance(other, SearchSpace) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text())

    def _text(self) -> str:
        return json.dumps(self.to_json())

    def __repr__(self) -> str:
        return repr(self.root).replace("Block", "SearchSpace", 1)


def _merges(node: Node[Any]) -> bool:
    if isinstance(node, Graph):
        return not node.distinct
    return any(map(_merges, node.children.values()))


def _distinct(node: Node[Any]) -> Node[Any]:
    match node:
        case Graph():
            return replace(node, distinct=True)
        case Block():
            return Block(**{name: _distinct(child) for name, child in node.nodes})
        case Repeat():
            return replace(node, item=_distinct(node.item))
        case Choice(branching=True):
            branches = {name: _distinct(child) for name, child in node.children.items()}
            return Choice(**cast("dict[str, Block]", branches))
        case _:
            return node


def _differences(old: Node[Any], new: Node[Any], path: Path) -> Iterator[str]:
    changed = str(old) != str(new)
    if changed:
        yield f"`{dotted(path)}`: {old} became {new}"
    if type(old) is not type(new):
        return
    before, after = old.children, new.children
    for name in sorted({*before, *after}):
        place = (*path, name)
        if name in before and name in after:
            yield from _differences(before[name], after[name], place)
        elif not changed:  # else the words above have told it
            yield f"`{dotted(place)}` was {'removed' if name in before else 'added'}"
