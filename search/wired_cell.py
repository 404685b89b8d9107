# ruff: noqa: D102 - the contract of the methods is told once, on Node
"""`WiredCell`: a small graph in which every node picks its two inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeAlias, final

from phylon.search.blocks import Block
from phylon.search.choice import Choice
from phylon.search.errors import SpaceError
from phylon.search.graph import Graph, check_operations

INPUTS = 2
"""Nodes 0 and 1 are the inputs of a cell."""

SLOTS = ("left", "right")

Wire: TypeAlias = tuple[int, str]
Wires: TypeAlias = tuple[tuple[Wire, Wire], ...]
"""For each node after the cell's inputs: the source and the operation of its two inputs."""


@final
@dataclass(frozen=True)
class WiredCell(Graph):
    """A graph of `nodes` nodes, each the sum of two operations on earlier nodes or cell inputs.

    The cell of ENAS (Pham et al. 2018, https://arxiv.org/abs/1802.03268) and DARTS (Liu et al.
    2019, https://arxiv.org/abs/1806.09055). Nodes 0 and 1 are what comes in, the others count from
    2; all of these are the output, side by side. The value is ``{"node_2": {"left": {"source": 0,
    "operation": "conv"}, "right": {...}}, ...}``, and is written ``|conv~0|pool~1|+|...|``: for
    each node, what comes from where. Cells that are the same network share a key; see `graph`.

    Attributes:
        nodes: How many, inputs not included; 1 or more.
        operations: What a node may do with an input.

    Raises:
        SpaceError: There are too few nodes, or operations with other names than text without
            ``|``, ``+`` and ``~``.
    """

    nodes: int
    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        if type(self.nodes) is not int or self.nodes < 1:
            raise SpaceError(f"WiredCell: nodes is {self.nodes!r}; allowed: integers from 1 up")
        object.__setattr__(self, "operations", tuple(self.operations))
        check_operations("WiredCell", self.operations)

    @cached_property
    def block(self) -> Block:
        operation = Choice(*self.operations)
        blocks = {}
        for node in range(INPUTS, INPUTS + self.nodes):
            wire = Block(source=Choice(*range(node)), operation=operation)
            blocks[f"node_{node}"] = Block(**dict.fromkeys(SLOTS, wire))
        return Block(**blocks)

    def graph(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return that value, of all which are the same network up to its weights, which is least.

        The order of nodes, and of the inputs of a node, is no matter. Every operation counts as one
        with weights: sums of identities are not worked out.
        """
        return _spelled(_least(wires(value)))

    def write(self, value: dict[str, Any]) -> str:
        """Return a cell in a notation like that of NAS-Bench-201."""
        nodes = ["|".join(f"{op}~{source}" for source, op in node) for node in wires(value)]
        return "+".join(f"|{node}|" for node in nodes)

    def to_json(self) -> object:
        fields: dict[str, object] = {"nodes": self.nodes, "operations": list(self.operations)}
        return {"wired_cell": fields | {"distinct": self.distinct}}

    def __str__(self) -> str:
        keys = ", each with a key of its own" if self.distinct else ""
        operations = ", ".join(self.operations)
        return f"a cell of {self.nodes} nodes with two inputs each by {operations}{keys}"


def wires(value: Mapping[str, Any]) -> Wires:
    """Return the inputs of each node of a cell, in the order of nodes and slots."""
    nodes = (value[f"node_{number}"] for number in range(INPUTS, INPUTS + len(value)))
    left, right = SLOTS
    return tuple((_wire(node[left]), _wire(node[right])) for node in nodes)


def _wire(value: Mapping[str, Any]) -> Wire:
    return value["source"], value["operation"]


def _spelled(wires: Wires) -> dict[str, Any]:
    return {
        f"node_{number}": {
            slot: {"source": source, "operation": operation}
            for slot, (source, operation) in zip(SLOTS, node, strict=True)
        }
        for number, node in enumerate(wires, start=INPUTS)
    }


@lru_cache(maxsize=1 << 16)
def _least(wires: Wires) -> Wires:
    numbers = {source: source for source in range(INPUTS)}
    return min(_renumbered(wires, numbers))


def _renumbered(wires: Wires, numbers: Mapping[int, int]) -> Iterator[Wires]:
    """Yield the rest of a cell, among others in the numbers with which it is least.

    Of the nodes whose sources have `numbers` the least is next. Of those that are equally small
    each in turn is, but for twins, with which nothing would change.
    """
    ready = {
        node: tuple(sorted((numbers[source], op) for source, op in inputs))
        for node, inputs in enumerate(wires, start=INPUTS)
        if node not in numbers and all(source in numbers for source, _ in inputs)
    }
    if not ready:
        yield ()
        return
    least: Any = min(ready.values())
    chosen = {_users(wires, node): node for node, inputs in ready.items() if inputs == least}
    for node in chosen.values():
        for rest in _renumbered(wires, {**numbers, node: len(numbers)}):
            yield (least, *rest)


def _users(wires: Wires, node: int) -> tuple[Wire, ...]:
    """Return the nodes that take an input from this one, and by which operation."""
    users = ((user, each) for user, inputs in enumerate(wires) for each in inputs)
    return tuple(sorted((user, op) for user, (source, op) in users if source == node))
