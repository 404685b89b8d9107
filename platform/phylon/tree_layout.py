"""Where the members of a family stand when its tree is drawn."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from numpy.typing import NDArray

_Side = NDArray[np.float64]
"""How far a subtree reaches to one side in each row, from its top down."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where each member stands, by its index.

    Attributes:
        x: From left to right; members of a row are at least 1 apart.
        row: The generation: the length of the longest line of descent.
    """

    x: NDArray[np.float64]
    row: NDArray[np.int64]


def place(parents: Sequence[Sequence[int]], trunk: Collection[int] = ()) -> Places:
    """Place a family so that subtrees stand apart and long lines of descent go straight down.

    A member stands below its first parent. Of the children of each the one whose line goes on
    longest is straight below, and the others are beside it, as near as their subtrees allow: in
    the way of Reingold and Tilford (1981), but not centred, which would lean every long line.

    Args:
        parents: The indices of the parents of each member, who come before it.
        trunk: A line of descent that is to go straight down, whatever is longer.
    """
    row = _generations(parents)
    children: list[list[int]] = [[] for _ in parents]
    roots: list[int] = []
    deepest, size = row.copy(), np.ones(len(parents), dtype=np.int64)
    for member in reversed(range(len(parents))):
        if not parents[member]:
            roots.append(member)
            continue
        first = parents[member][0]
        children[first].append(member)
        deepest[first] = max(deepest[first], deepest[member])
        size[first] += size[member]
    straight = set(trunk)
    weight = [(m not in straight, -deepest[m], -size[m], m) for m in range(len(parents))]
    x = np.zeros(len(parents))
    sides: dict[int, tuple[_Side, _Side]] = {}
    for member in reversed(range(len(parents))):
        own = sorted(children[member], key=weight.__getitem__)
        left, right = _side_by_side(own, row, row[member], sides, x)
        sides[member] = np.append(0.0, left), np.append(0.0, right)
    _side_by_side(sorted(roots, key=weight.__getitem__), row, -1, sides, x)
    for member, known in enumerate(parents):
        x[member] += x[known[0]] if known else 0.0
    return Places(x, row)


def _generations(parents: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    family = nx.DiGraph()
    family.add_nodes_from(range(len(parents)))
    family.add_edges_from((p, child) for child, known in enumerate(parents) for p in known)
    row = np.zeros(len(parents), dtype=np.int64)
    for number, generation in enumerate(nx.topological_generations(family)):
        row[generation] = number
    return row


def _side_by_side(
    members: Sequence[int],
    row: NDArray[np.int64],
    above: int,
    sides: dict[int, tuple[_Side, _Side]],
    x: NDArray[np.float64],
) -> tuple[_Side, _Side]:
    """Write into `x` where subtrees stand from the first one, and return how far all reach.

    Args:
        members: Their tops, the one that stands straight below first.
        row: Of each member.
        above: The row of what they hang on.
        sides: How far each subtree reaches to the left and to the right; theirs are taken out.
        x: Of each member, from its first parent.
    """
    left, right = np.empty(0), np.empty(0)
    for member in members:
        gap = np.zeros(row[member] - above - 1)  # rows that only the line from above crosses
        own_left, own_right = (np.append(gap, side) for side in sides.pop(member))
        shared = min(len(left), len(own_left))
        if shared:
            after = np.max(right[:shared] - own_left[:shared]) + 1
            before = np.min(left[:shared] - own_right[:shared]) - 1
            x[member] = after if after <= -before else before
        own_left, own_right = own_left + x[member], own_right + x[member]
        left = _reaching(np.minimum, left, own_left, shared)
        right = _reaching(np.maximum, right, own_right, shared)
    return left, right


def _reaching(further: np.ufunc, side: _Side, own: _Side, shared: int) -> _Side:
    rest = side[shared:] if len(side) > shared else own[shared:]
    return np.append(further(side[:shared], own[:shared]), rest)
