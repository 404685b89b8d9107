"""Kinship of networks of the DARTS space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from phylon.search.architecture import Architecture
from phylon.search.wired_cell import INPUTS, SLOTS, Wire, Wires
from phylon.trainables.dartsnet import KINDS, Place, places, wires_of
from phylon.trainables.kinship import (
    Channels,
    Descent,
    From,
    Identity,
    Kinship,
    Layer,
    Layers,
    normed,
)

ALIKE = 3
"""Likeness of two inputs that do the same with the same source."""

CONVOLUTIONS = {
    "sep_conv_3x3": (3, 2),
    "sep_conv_5x5": (5, 2),
    "dil_conv_3x3": (3, 1),
    "dil_conv_5x5": (5, 1),
}
"""Side of the kernel of each operation that has one, and how often it is applied."""

Matches: TypeAlias = Mapping[int, int]
"""For each node of the child, the cell's inputs among them, which one of the parent it is."""


class Cell(NamedTuple):
    """A cell of a network.

    Attributes:
        role: Its kind, how many reductions come before it, and its number after the last of them.
        name: What the names of its layers begin with.
        maps: The channels of each of its nodes.
        wires: The inputs of its nodes.
        layers: All of its layers, by the ends of their names.
    """

    role: tuple[str, int, int]
    name: str
    maps: Channels
    wires: Wires
    layers: Layers


def darts_kinship(
    parent: Architecture, child: Architecture, channels: int, classes: int
) -> Kinship:
    """Return the kinship of two networks that `build_dartsnet` builds.

    Cells are matched by their place among those of the same kind between two reductions; nodes so
    that as many inputs as can be do the same with the same source, wherever these stand.

    The child computes what the parent does where a convolution got a larger kernel. A convolution
    in place of a pooling or an identity begins by passing on what is positive.

    Args:
        parent: An architecture of a `darts_space`.
        child: Another one.
        channels: Of the pictures.
        classes: To tell apart.

    Raises:
        ConfigurationError: A cell cannot be built.
    """
    old_wires, new_wires = ({kind: wires_of(it, kind) for kind in KINDS} for it in (parent, child))
    matches = {kind: matched(old_wires[kind], new_wires[kind]) for kind in KINDS}
    labels = {kind: {old: f"{new}" for new, old in matches[kind].items()} for kind in KINDS}
    old_cells, old = _network(list(places(parent)), old_wires, channels, classes, labels)
    new_cells, new = _network(list(places(child)), new_wires, channels, classes, {})
    descent: dict[str, Descent] = {name: From(name) for name in ("stem.0", "stem.1", "head")}
    by_role = {cell.role: cell for cell in old_cells}
    for cell in new_cells:
        if cell.role in by_role:
            descent |= _descended(cell, by_role[cell.role], matches[cell.role[0]])
    return Kinship(old, new, descent)


def matched(old: Wires, new: Wires) -> Matches:
    """Return which of the old nodes each new one is: of all pairings, the most alike.

    Its time grows with the factorial of the nodes where cells have little in common. A new node
    that none is left for gets a number beyond the old ones.
    """
    best: tuple[int, dict[int, int]] = -1, {}
    numbers = range(INPUTS, INPUTS + max(len(old), len(new)))

    def search(known: dict[int, int], likeness: int) -> None:
        nonlocal best
        node = len(known)
        left = INPUTS + len(new) - node
        if likeness + left * len(SLOTS) * ALIKE <= best[0]:
            return
        if not left:
            best = likeness, known
            return
        free = [each for each in numbers if each not in known.values()]
        gains = {each: _pairing(old, each, new, node, known)[0] for each in free}
        for each in sorted(free, key=lambda each: -gains[each]):
            search({**known, node: each}, likeness + gains[each])

    search({source: source for source in range(INPUTS)}, 0)
    return best[1]


def _pairing(
    old: Wires, theirs: int, new: Wires, ours: int, known: Matches
) -> tuple[int, tuple[int, int]]:
    """Return how alike the inputs of two nodes are, and the old node's slot for each new one."""
    if theirs - INPUTS >= len(old):
        return 0, (0, 1)
    (left, right), others = new[ours - INPUTS], old[theirs - INPUTS]
    ways = [
        (_likeness(others[one], left, known) + _likeness(others[two], right, known), (one, two))
        for one, two in ((0, 1), (1, 0))
    ]
    return max(ways, key=lambda way: way[0])


def _likeness(old: Wire, new: Wire, known: Matches) -> int:
    """Return how alike two inputs are: by operation, or but for the size of its kernel."""
    same_source = known.get(new[0]) == old[0]
    if new[1] == old[1]:
        return ALIKE - 1 + same_source
    return (new[1][:-3] == old[1][:-3]) + same_source


def _network(
    stand: Sequence[Place],
    taken: Mapping[str, Wires],
    channels: int,
    classes: int,
    labels: Mapping[str, Mapping[int, str]],
) -> tuple[list[Cell], Layers]:
    """Return the cells of a network that `build_dartsnet` builds, and all of its layers.

    Args:
        stand: Where the cells stand.
        taken: The wires of each kind of cell.
        channels: Of the pictures.
        classes: To tell apart.
        labels: Names of nodes of each kind of cell; those without are called by their numbers.
    """
    cells: list[Cell] = []
    stem = Channels("stem", stand[0].last)
    layers = normed(("stem.0", "stem.1"), Channels("picture", channels), stem, 3)
    outputs = [stem, stem]
    section, first = 0, 0
    for number, place in enumerate(stand):
        wires, maps = taken[place.kind], Channels(f"cell {number}", place.width)
        made = _entries(place, outputs, maps) | _operations(place, wires, maps)
        cell = Cell((place.kind, section, number - first), f"cells.{number}", maps, wires, made)
        cells.append(cell)
        layers |= {f"{cell.name}.{name}": layer for name, layer in made.items()}
        called = labels.get(place.kind, {})
        nodes = range(INPUTS, INPUTS + len(wires))
        parts = tuple(called.get(node, f"{node}") for node in nodes)
        outputs = [outputs[1], maps._replace(parts=parts)]
        if place.kind == "reduction":
            section, first = section + 1, number + 1
    layers["head"] = Layer("linear", outputs[1], Channels("classes", classes))
    return cells, layers


def _entries(place: Place, outputs: list[Channels], maps: Channels) -> Layers:
    """Return what brings both inputs of a cell to its width."""
    before = _halving("before", outputs[0], maps) if place.follows else {}
    before = before or normed(("before.1", "before.2"), outputs[0], maps, 1)
    return before | normed(("last.1", "last.2"), outputs[1], maps, 1)


def _operations(place: Place, wires: Wires, maps: Channels) -> Layers:
    """Return the layers of all operations of a cell."""
    layers: Layers = {}
    for node, inputs in enumerate(wires, start=INPUTS):
        for slot, (source, operation) in enumerate(inputs):
            name = _input(wires, node, slot)
            if operation in CONVOLUTIONS:
                kernel, times = CONVOLUTIONS[operation]
                for first in range(1, 4 * times, 4):
                    apart, mix, norm = (f"{name}.{first + each}" for each in range(3))
                    layers[apart] = Layer("depthwise", maps, maps, kernel)
                    layers |= normed((mix, norm), maps, maps, 1)
            elif operation == "skip_connect" and place.kind == "reduction" and source < INPUTS:
                layers |= _halving(name, maps, maps)
    return layers


def _halving(name: str, reads: Channels, maps: Channels) -> Layers:
    halves = {"even": maps.width - maps.width // 2, "odd": maps.width // 2}
    layers = {
        f"{name}.{half}": Layer("convolution", reads, Channels(f"{maps.group} {half}", width))
        for half, width in halves.items()
    }
    return {**layers, f"{name}.norm": Layer("norm", maps, maps)}


def _input(wires: Wires, node: int, slot: int) -> str:
    """Return what the names of the layers of an input begin with."""
    source, _ = wires[node - INPUTS][slot]
    return f"nodes.{node}.{SLOTS[slot]}.from_{source}"


def _descended(cell: Cell, ancestor: Cell, known: Matches) -> dict[str, Descent]:
    """Return what the layers of a cell begin as."""
    origin = {name: name for name in ("before", "last")}
    for node in range(INPUTS, INPUTS + len(cell.wires)):
        _, slots = _pairing(ancestor.wires, known[node], cell.wires, node, known)
        if known[node] - INPUTS < len(ancestor.wires):
            for slot, other in enumerate(slots):
                ours = _input(cell.wires, node, slot)
                origin[ours] = _input(ancestor.wires, known[node], other)
    descent: dict[str, Descent] = {}
    for name, layer in cell.layers.items():
        start, _, end = name.rpartition(".")
        theirs = f"{origin.get(start)}.{end}"
        if theirs in ancestor.layers:
            descent[f"{cell.name}.{name}"] = From(f"{ancestor.name}.{theirs}")
        elif start.startswith("nodes") and end.isdecimal() and layer.kind != "norm":
            descent[f"{cell.name}.{name}"] = Identity(ancestor.maps)
    return descent
