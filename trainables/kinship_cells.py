"""Kinship of networks of NAS-Bench-201's space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from phylon.search.architecture import Architecture
from phylon.search.cell import Edge
from phylon.search.errors import ConfigurationError
from phylon.trainables.cellnet import STAGES
from phylon.trainables.kinship import (
    Channels,
    Descent,
    From,
    Identity,
    Kinship,
    Layer,
    Layers,
    Zero,
    normed,
)
from phylon.trainables.nasbench201 import cell_of

Operations: TypeAlias = dict[Edge, str]
"""What the edges of a cell do, by source and target, as far as they lead from input to output."""

KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
"""Sides of the kernels of the operations that have weights."""


def cells_kinship(
    parent: Architecture, child: Architecture, channels: int, classes: int
) -> Kinship:
    """Return the kinship of two networks that `build_cellnet` builds.

    Cells are matched by place, edges by name.

    The child computes what the parent does where it became wider, where a 1x1 convolution became a
    3x3 one, and where an edge got a convolution that had nothing: the norm of this, or of one that
    it brings to life, begins with weight 0. A convolution in place of an identity or a pooling
    begins by passing on what is positive. So does one on the shortest way through a new cell; what
    joins that way begins with nothing.

    Args:
        parent: An architecture that decides `cell`, `cells` and `channels`.
        child: Another one.
        channels: Of the pictures.
        classes: To tell apart.

    Raises:
        ConfigurationError: The cell of the child cannot be built.
    """
    old, new = (_layers(each, channels, classes) for each in (parent, child))
    before, after = parent.nested, child.nested
    taken, live = _live(before["cell"]), _live(after["cell"])
    known, added = _starts(taken, live), _starts(_shortest_way(live), live)
    descent: dict[str, Descent] = {name: From(name) for name in new if name in old}
    for stage in range(STAGES):
        for number in range(after["cells"]):
            starts = known if number < before["cells"] else added
            for (source, target), gated in starts.items():
                name = _name(stage, number, f"edge_{source}_{target}")
                if gated:
                    descent[f"{name}.2"] = Zero()
                else:
                    descent[f"{name}.1"] = Identity(_maps(before, stage))
    return Kinship(old, new, descent)


def _live(value: dict[str, str]) -> Operations:
    """Return the operations between input and output, those of earlier targets first.

    Raises:
        ConfigurationError: The value is of no cell.
    """
    cell = cell_of(value)
    if cell is None:
        raise ConfigurationError(f"the cell {value} cannot be built; allowed: the value of a Cell")
    return dict(cell.live(value))


def _starts(taken: Operations, live: Operations) -> dict[Edge, bool]:
    """Return the new convolutions of a cell: whether they begin with nothing, or pass on.

    Of a new way through the cell, the last convolution before it joins a known one begins with
    nothing, and only this: behind another one that does, it would never learn. What passes on is
    in place of another operation.

    Args:
        taken: The operations of the parent.
        live: Those of the child.
    """
    last = max((target for _, target in live), default=0)
    joins = {last, *(target for _, target in taken)}
    starts = {}
    for edge, operation in reversed(live.items()):
        source, target = edge
        if operation in KERNELS:
            if edge in taken and taken[edge] not in KERNELS:
                starts[edge] = False
            elif edge not in taken and target in joins:
                starts[edge] = True
        elif edge not in taken and target in joins:
            joins.add(source)
    return starts


def _shortest_way(live: Operations) -> Operations:
    """Return the way through a cell with the fewest operations, as if it were of identities."""
    ways: dict[int, tuple[int, tuple[Edge, ...]]] = {0: (0, ())}
    for (source, target), operation in live.items():
        length, edges = ways[source]
        way = length + (operation != "skip_connect"), (*edges, (source, target))
        ways[target] = min(way, ways.get(target, way))
    return dict.fromkeys(ways[max(ways)][1], "skip_connect")


def _layers(architecture: Architecture, channels: int, classes: int) -> Layers:
    """Return what `build_cellnet` makes of an architecture."""
    decisions = architecture.nested
    last = _maps(decisions, 0)
    layers = normed(("stem.0", "stem.1"), Channels("picture", channels), last, 3)
    for stage in range(STAGES):
        maps = _maps(decisions, stage)
        if stage:
            name, inner = f"stages.{stage}.reduction", maps._replace(group=f"inner {stage}")
            layers |= normed((f"{name}.body.0.1", f"{name}.body.0.2"), last, inner, 3)
            layers |= normed((f"{name}.body.1.1", f"{name}.body.1.2"), inner, maps, 3)
            layers[f"{name}.shortcut.1"] = Layer("convolution", last, maps)
        for number in range(decisions["cells"]):
            for edge, operation in decisions["cell"].items():
                if operation in KERNELS:
                    name = _name(stage, number, edge)
                    layers |= normed((f"{name}.1", f"{name}.2"), maps, maps, KERNELS[operation])
        last = maps
    layers["head.0"] = Layer("norm", last, last)
    layers["head.4"] = Layer("linear", last, Channels("classes", classes))
    return layers


def _maps(decisions: Mapping[str, Any], stage: int) -> Channels:
    return Channels(f"stage {stage}", decisions["channels"] << stage)


def _name(stage: int, cell: int, edge: str) -> str:
    return f"stages.{stage}.cells.{cell}.edges.{edge}"
