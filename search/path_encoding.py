"""Path encoding: a cell is described by what can happen on the way from its input to its output."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from phylon.search.architecture import Architecture
from phylon.search.node import Node
from phylon.search.nodes import Block, Cell, Choice, Float, Integer, Repeat, WiredCell
from phylon.search.space import SearchSpace
from phylon.search.wired_cell import INPUTS, wires

Floats: TypeAlias = NDArray[np.float64]
Word: TypeAlias = tuple[str, ...]

PATHS = 512
"""How many columns a cell has at most. The paths left out are the longest, which the paper finds to
matter least: they are the rarest."""


def path_encoding(space: SearchSpace, architecture: Architecture) -> Floats:
    """Describe an architecture by numbers in [0, 1] (White et al. 2021, section 4).

    A cell has a 1 for each sequence of operations that leads from its input to its output over
    live edges; identities are left out of a sequence, so the empty one stands for a shortcut. Where
    nodes pick their inputs, a sequence begins with the cell's input, and nothing is left out. Cells
    with the same paths have the same encoding. A choice has a 1 for the option taken, a number its
    place in its range, a repeat the share of its count. What is not live is 0.

    Args:
        space: Where the architecture is from.
        architecture: What to describe.

    Returns:
        Shape ``(columns,)``, the same for all architectures of the space.
    """
    return np.array(list(_encode(space.root, architecture.nested)), dtype=np.float64)


def paths(cell: Cell | WiredCell, value: dict[str, Any]) -> set[Word]:
    """Return what stands on each path from input to output; see `path_encoding`.

    Paths longer than `PATHS` has room for are not among them.
    """
    if isinstance(cell, WiredCell):
        return _wired_paths(cell, value)
    longest = len(words(cell)[-1])
    reaching: dict[int, set[Word]] = {node: set() for node in range(cell.nodes)}
    reaching[0] = {()}
    for (source, target), operation in cell.live(value):
        step = () if operation == cell.identity else (operation,)
        reaching[target] |= {
            (*word, *step) for word in reaching[source] if len(word) + len(step) <= longest
        }
    return reaching[cell.nodes - 1]


def _wired_paths(cell: WiredCell, value: dict[str, Any]) -> set[Word]:
    longest = len(words(cell)[-1])
    reaching: list[set[Word]] = [{(str(source),)} for source in range(INPUTS)]
    for inputs in wires(value):
        reaching.append(
            {
                (*word, operation)
                for source, operation in inputs
                for word in reaching[source]
                if len(word) < longest
            }
        )
    return set[Word]().union(*reaching[INPUTS:])


@lru_cache(maxsize=256)
def words(cell: Cell | WiredCell) -> tuple[Word, ...]:
    """Return what may stand on a path, the shortest first: as many whole lengths as have room."""
    if isinstance(cell, WiredCell):
        starts: list[Word] = [(str(source),) for source in range(INPUTS)]
        alphabet, lengths = list(cell.operations), range(1, cell.nodes + 1)
    else:
        starts, lengths = [()], range(cell.nodes)
        alphabet = [each for each in cell.operations if each not in (cell.zero, cell.identity)]
    found: list[Word] = []
    for length in lengths:
        if len(found) + len(starts) * len(alphabet) ** length > PATHS and found:
            break
        rests = itertools.product(alphabet, repeat=length)
        found += [(*start, *rest) for rest in rests for start in starts]
    return tuple(found)


def _encode(node: Node[Any], value: Any) -> Iterator[float]:  # noqa: ANN401 - decisions
    """Yield the columns of a node; the value is None where the node is not live."""
    match node:
        case Block():
            for name, child in node.nodes:
                yield from _encode(child, None if value is None else value[name])
        case Cell() | WiredCell():
            present = set() if value is None else paths(node, value)
            yield from (float(word in present) for word in words(node))
        case Choice():
            taken = None if value is None else node.index(value)
            if len(node.options) > 1:
                yield from (float(index == taken) for index in range(len(node.options)))
            for index, block in enumerate(node.blocks):
                yield from _encode(block, value if index == taken else None)
        case Repeat():
            items = [] if value is None else value
            yield len(items) / node.high
            for index in range(node.high):
                yield from _encode(node.item, items[index] if index < len(items) else None)
        case Integer() | Float():
            varies = value is not None and node.low < node.high
            yield node.unit(value) if varies else 0.0
        case _:
            raise TypeError(f"{type(node).__name__} has no path encoding; add a case here")
