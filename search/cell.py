# ruff: noqa: D102 - the contract of the methods is told once, on Node
"""`Cell`: a small directed graph with an operation on every edge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, final

from phylon.search.blocks import Block
from phylon.search.choice import Choice
from phylon.search.errors import SpaceError
from phylon.search.graph import Graph, check_operations

Edge = tuple[int, int]


@final
@dataclass(frozen=True)
class Cell(Graph):
    """A graph of `nodes` nodes in which every earlier node feeds every later one.

    Node 0 is the input and the last one the output; a node is the sum of what its edges bring. The
    value is a dict with the operation of each edge, ``{"edge_0_1": "skip_connect", ...}``, and is
    written ``|skip_connect~0|+|none~0|conv~1|``: for each node after the input, what comes from
    where. Cells that are the same network share a key; see `graph`.

    Attributes:
        nodes: How many, input and output included; 2 or more.
        operations: What an edge may do.
        zero: The operation that brings nothing; it need not be among `operations`.
        identity: The operation that passes its input on; it need not be among `operations`.

    Raises:
        SpaceError: There are too few nodes, or operations with other names than text without
            ``|``, ``+`` and ``~``.
    """

    nodes: int
    operations: tuple[str, ...]
    zero: str = "none"
    identity: str = "skip_connect"

    def __post_init__(self) -> None:
        if type(self.nodes) is not int or self.nodes < 2:
            raise SpaceError(f"Cell: nodes is {self.nodes!r}; allowed: integers from 2 up")
        object.__setattr__(self, "operations", tuple(self.operations))
        check_operations("Cell", self.operations)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Source and target of each edge, in the order in which cells are written."""
        return tuple((s, t) for t in range(1, self.nodes) for s in range(t))

    @cached_property
    def block(self) -> Block:
        choice = Choice(*self.operations)
        return Block(**dict.fromkeys(self._names, choice))

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(f"edge_{source}_{target}" for source, target in self.edges)

    def graph(self, value: dict[str, Any]) -> object:
        """Return what is equal for all cells that are the same network, up to its weights.

        Edges that bring nothing, or lead nowhere, are left out; an identity is its source; the
        order of nodes, and of what is summed, is no matter. Weights shared by two paths stay so:
        ``f(x) + g(f(x))`` with one ``f`` is not the cell with two.
        """
        return _canonical(self, self._taken(value))

    def live(self, value: dict[str, Any]) -> list[tuple[Edge, str]]:
        """Return the edges that carry something from the input to the output, and what they do."""
        return list(_live(self, self._taken(value)))

    def write(self, value: dict[str, Any]) -> str:
        """Return a cell in the notation of NAS-Bench-201 (https://arxiv.org/abs/2001.00326)."""
        taken = dict(zip(self.edges, self._taken(value), strict=True))
        nodes = ["|".join(f"{taken[s, t]}~{s}" for s in range(t)) for t in range(1, self.nodes)]
        return "+".join(f"|{node}|" for node in nodes)

    def read(self, text: str) -> dict[str, Any]:
        """Undo `write`.

        Raises:
            SpaceError: The text is no cell of so many nodes, or has an operation that is unknown.
        """
        value = {}
        nodes = text.split("+")
        if len(nodes) != self.nodes - 1:
            raise SpaceError(f"{text!r} has {len(nodes) + 1} nodes; allowed: {self.nodes}")
        start = 0
        for target, node in enumerate(nodes, start=1):
            edges = node.removeprefix("|").removesuffix("|").split("|")
            if len(edges) != target or len(node) < 2 or node[0] != "|" or node[-1] != "|":
                raise SpaceError(
                    f"{text!r}: {node!r} is not what comes into node {target}; allowed: "
                    f"|operation~0|...|operation~{target - 1}|"
                )
            start += 1
            for source, edge in enumerate(edges):
                operation, tilde, origin = edge.partition("~")
                if not tilde or origin != str(source) or operation not in self.operations:
                    raise SpaceError(
                        f"{text!r}: {edge!r} at position {start}; allowed: "
                        f"operation~{source} with one of {', '.join(self.operations)}"
                    )
                value[f"edge_{source}_{target}"] = operation
                start += len(edge) + 1
            start += 1
        return value

    def to_json(self) -> object:
        fields: dict[str, object] = {"nodes": self.nodes, "operations": list(self.operations)}
        fields |= {"zero": self.zero, "identity": self.identity, "distinct": self.distinct}
        return {"cell": fields}

    def _taken(self, value: dict[str, Any]) -> tuple[str, ...]:
        return tuple(value[name] for name in self._names)

    def __str__(self) -> str:
        return f"a cell of {self.nodes} nodes with {', '.join(self.operations)} on its edges"


class _Place(NamedTuple):
    """Where an operation is in a cell: the numbers of what is summed for it, and of its users.

    -1 is the cell's input; the cell's output has the number after the last operation.
    """

    operation: str
    inputs: tuple[int, ...]
    users: tuple[int, ...]


def _live(cell: Cell, taken: Sequence[str]) -> Iterator[tuple[Edge, str]]:
    edges = [pair for pair in zip(cell.edges, taken, strict=True) if pair[1] != cell.zero]
    fed, used = {0}, {cell.nodes - 1}
    fed.update(target for (source, target), _ in edges if source in fed)
    for (source, target), _ in reversed(edges):
        if target in used:
            used.add(source)
    return (pair for pair in edges if pair[0][0] in fed and pair[0][1] in used)


@lru_cache(maxsize=1 << 16)
def _canonical(cell: Cell, taken: tuple[str, ...]) -> object:
    operations, terms = _summands(cell, taken)
    sums = [*(terms[source] for _, source in operations), terms[cell.nodes - 1]]
    users: list[list[int]] = [[] for _ in operations]
    for user, each in enumerate(sums):
        for term in each:
            if term >= 0:
                users[term].append(user)
    places = [
        _Place(operation, tuple(sorted(terms[source])), tuple(users[number]))
        for number, (operation, source) in enumerate(operations)
    ]
    return min(_renumbered(operations, terms, order) for order in _orders(places))


def _summands(
    cell: Cell, taken: Sequence[str]
) -> tuple[list[tuple[str, int]], dict[int, list[int]]]:
    """Return the live operations with their source nodes, and what is summed in each node.

    A summand is the number of an operation, or -1 for the cell's input.
    """
    operations: list[tuple[str, int]] = []
    terms: dict[int, list[int]] = {0: [-1], cell.nodes - 1: []}
    for (source, target), operation in _live(cell, taken):
        into = terms.setdefault(target, [])
        if operation == cell.identity:
            into += terms[source]
        else:
            into.append(len(operations))
            operations.append((operation, source))
    return operations, terms


def _orders(places: Sequence[_Place], classes: Sequence[int] = ()) -> Iterator[list[int]]:
    """Yield orders of the operations that are the same for all spellings of a cell.

    Operations are told apart by what is around them. Where that leaves some alike, each in turn
    comes first among them, but for twins, with which nothing would change.
    """
    classes = _told_apart(places, classes or [0] * len(places))
    alike = min((c for c in classes if classes.count(c) > 1), default=None)
    if alike is None:
        yield sorted(range(len(places)), key=classes.__getitem__)
        return
    first = {places[n]: n for n, c in enumerate(classes) if c == alike}
    for chosen in first.values():
        yield from _orders(places, [2 * c + (n != chosen) for n, c in enumerate(classes)])


def _told_apart(places: Sequence[_Place], classes: Sequence[int]) -> list[int]:
    """Split classes of operations until all of a class have the same around them."""
    while True:
        known = dict(enumerate(classes)) | {-1: -1, len(places): -1}
        around = [
            (
                classes[number],
                place.operation,
                tuple(sorted(known[term] for term in place.inputs)),
                tuple(sorted(known[user] for user in place.users)),
            )
            for number, place in enumerate(places)
        ]
        kinds = sorted(set(around))
        before, classes = classes, [kinds.index(each) for each in around]
        if len(kinds) == len(set(before)):
            return classes


def _renumbered(
    operations: Sequence[tuple[str, int]], terms: Mapping[int, list[int]], order: Sequence[int]
) -> list[list[Any]]:
    numbers = {old: new for new, old in enumerate(order)} | {-1: -1}
    sums = {node: sorted(numbers[term] for term in each) for node, each in terms.items()}
    output = sums[max(sums)]
    return [["output", output], *([operations[old][0], sums[operations[old][1]]] for old in order)]
