"""Numbers that say what a network is like, for models that predict how good it will be."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from phylon.search.architecture import Architecture
from phylon.search.node import Node
from phylon.search.nodes import Block, Cell, Choice, Float, Integer, Repeat, WiredCell
from phylon.search.space import SearchSpace

Operations: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]
"""A cell in canonical form: each operation with what it sums up as its input; the output first."""

_NOT_LIVE = object()


@final
class Features:
    """Turns architectures of a space into vectors that are equal for equal networks.

    A choice gives one column for each option, 1 where it is taken; a number its place between its
    bounds, on its own scale; a repeat its count, its items one by one, and the mean over its items.
    A cell gives what its graph is like, in the manner of GRAF (Kadlecova et al. 2024,
    https://arxiv.org/abs/2404.16551): see `_graph`; a `distinct` one its edges as well. A wired
    cell gives what its nodes take, in canonical order. NaN stands for what is not live.

    Attributes:
        weights: Of shape ``(d,)``: factors for the columns, once they are standardised, with which
            every decision counts alike, however many columns it has.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._root = space.root
        self.weights: NDArray[np.float64] = np.array(list(_weights(space.root)))

    def __call__(self, architecture: Architecture) -> NDArray[np.float64]:
        """Return the features of an architecture of the space, of shape ``(d,)``."""
        return np.array(list(_columns(self._root, self._root.canonical(architecture.nested))))


def _columns(node: Node[Any], value: Any) -> Iterator[float]:  # noqa: ANN401 - plain data
    live = value is not _NOT_LIVE
    match node:
        case Block():
            for name, child in node.nodes:
                yield from _columns(child, value[name] if live else _NOT_LIVE)
        case Choice():
            yield from _choice(node, value)
        case Integer() | Float():
            if node.low < node.high:
                yield node.unit(value) if live else math.nan
        case Repeat():
            yield from _repeat(node, value)
        case Cell():
            yield from _cell(node, value)
        case WiredCell():  # its canonical form is one of its values
            yield from _columns(node.block, value)
        case _:
            raise TypeError(f"{type(node).__name__} has no features; add a case here")


def _choice(node: Choice, value: Any) -> Iterator[float]:  # noqa: ANN401
    taken, inner = None, _NOT_LIVE
    if value is not _NOT_LIVE:
        label, inner = value if node.branching else (value, {})
        taken = node.index({"type": label} if node.branching else label)
    if len(node.options) > 1:
        for index in range(len(node.options)):
            yield math.nan if taken is None else float(index == taken)
    for index, block in enumerate(node.blocks):
        yield from _columns(block, inner if index == taken else _NOT_LIVE)


def _cell(node: Cell, value: Any) -> Iterator[float]:  # noqa: ANN401
    taken = None
    if value is not _NOT_LIVE:
        graph: Any = node.graph(value) if node.distinct else value
        taken = tuple((op, tuple(inputs)) for op, inputs in graph)
    yield from _graph(node, taken).tolist()
    if node.distinct:
        yield from _columns(node.block, value)


def _repeat(node: Repeat, items: Any) -> Iterator[float]:  # noqa: ANN401
    live = items is not _NOT_LIVE
    if node.low < node.high:
        yield (len(items) - node.low) / (node.high - node.low) if live else math.nan
    rows = [list(_columns(node.item, item)) for item in (items if live else ())]
    blank = [math.nan] * _width(node.item)
    yield from itertools.chain(*rows, *[blank] * (node.high - len(rows)))
    if node.high > 1:
        yield from (_mean(column) for column in zip(*(rows or [blank]), strict=True))


def _mean(numbers: Sequence[float]) -> float:
    known = [number for number in numbers if not math.isnan(number)]
    return sum(known) / len(known) if known else math.nan


@lru_cache(maxsize=1 << 12)
def _width(node: Node[Any]) -> int:
    return sum(1 for _ in _columns(node, _NOT_LIVE))


def _weights(node: Node[Any]) -> Iterator[float]:
    match node:
        case Choice():
            own = len(node.options) if len(node.options) > 1 else 0
            yield from [1 / math.sqrt(own)] * own if own else []
            for block in node.blocks:
                yield from _weights(block)
        case Block():
            for _, child in node.nodes:
                yield from _weights(child)
        case Repeat():
            item = list(_weights(node.item))
            yield from [1.0] * (node.low < node.high)
            yield from item * (node.high + (node.high > 1))
        case Cell():
            spelled = list(_weights(node.block)) if node.distinct else []
            width = _width(node) - len(spelled)
            yield from [math.sqrt(len(node.edges) / width)] * width
            yield from spelled
        case WiredCell():
            yield from _weights(node.block)
        case _:
            yield from [1.0] * _width(node)


@lru_cache(maxsize=1 << 14)
def _graph(cell: Cell, operations: Operations | None) -> NDArray[np.float64]:
    """Describe a cell's graph, as it is without what is dead and with identities as mere sums.

    For every set of one, two or all operations: on how many paths from input to output there is
    nothing else (log1p), and the fewest and most operations on such a path. For every operation:
    how many there are, the fewest and the most on any path, and how often its output is an
    input of each operation, of the cell's output, and it takes the cell's input.
    """
    kinds = [op for op in cell.operations if op not in (cell.zero, cell.identity)]
    sets = _sets(len(kinds))
    if operations is None:
        blank = _paths([], [[]], sets, len(kinds))
        return np.full(len(blank) + len(kinds) + (len(kinds) + 1) ** 2, math.nan)
    codes = [kinds.index(op) for op, _ in operations[1:]]
    inputs = [list(sources) for _, sources in operations]
    feeds = np.zeros((len(kinds) + 1, len(kinds) + 1))
    for target, sources in zip([-1, *codes], inputs, strict=True):
        for source in sources:
            feeds[codes[source] if source >= 0 else -1, target] += 1
    counts = [float(codes.count(kind)) for kind in range(len(kinds))]
    return np.concatenate([_paths(codes, inputs, sets, len(kinds)), counts, feeds.ravel()])


@lru_cache
def _sets(kinds: int) -> NDArray[np.bool_]:
    """Return the sets of one, two and all of so many operations, of shape ``(sets, kinds)``."""
    sizes = sorted({0, 1, 2, kinds} - set(range(kinds + 1, 3)))
    chosen = [each for size in sizes for each in itertools.combinations(range(kinds), size)]
    return np.array([[kind in each for kind in range(kinds)] for each in chosen], dtype=np.bool_)


def _paths(
    codes: list[int], inputs: list[list[int]], sets: NDArray[np.bool_], kinds: int
) -> list[float]:
    """Return the numbers about paths; ``inputs[0]`` belongs to the output."""
    n = len(sets)
    # For each set, how many operations of any kind; then for each kind, how many of that kind.
    cost = np.concatenate([np.where(sets, 1.0, np.inf), np.eye(kinds)])
    numbers = {-1: np.ones(n)}
    lengths = {-1: np.zeros((2, n + kinds))}  # the longest, and the negated shortest
    signed = np.stack([np.where(np.isinf(cost), -np.inf, cost), -cost])
    for operation in [*_ordered(inputs), -2]:
        sources = inputs[operation + 1] if operation >= 0 else inputs[0]
        number, length = np.zeros(n), np.full((2, n + kinds), -np.inf)
        for source in sources:
            number += numbers[source]
            np.maximum(length, lengths[source], out=length)
        if operation >= 0:
            number *= sets[:, codes[operation]]
            length += signed[:, :, codes[operation]]
        numbers[operation], lengths[operation] = number, length
    spread = lengths[-2] * [[1.0], [-1.0]]
    spread[np.isinf(spread)] = np.nan
    return [*np.log1p(numbers[-2]).tolist(), *spread.ravel().tolist()]


def _ordered(inputs: list[list[int]]) -> list[int]:
    """Return the numbers of the operations, each after those it takes its input from."""
    order: dict[int, None] = {}

    def visit(operation: int) -> None:
        if operation >= 0 and operation not in order:
            for source in inputs[operation + 1]:
                visit(source)
            order[operation] = None

    for operation in range(len(inputs) - 1):
        visit(operation)
    return list(order)
