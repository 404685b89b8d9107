"""Networks of the DARTS space: `b` pictures, `c` channels, `h` x `w` pixels, `k` classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, final

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from phylon.search.architecture import Architecture
from phylon.search.errors import ConfigurationError
from phylon.search.wired_cell import INPUTS, SLOTS, Wire, Wires, wires
from phylon.trainables.darts import wired_cell_of

STEM = 3
"""How many times as wide as a node the stem is."""

KINDS = ("normal", "reduction")

Sources: TypeAlias = Mapping[int, nn.Module]
"""What is done with an input of a node, by where it comes from."""


class Place(NamedTuple):
    """Where a cell stands in a network.

    Attributes:
        kind: Which of the cells it is; a reduction halves the maps.
        width: Channels of each of its nodes.
        before: Channels of the output of the last cell but one, its input 0.
        last: Channels of the output of the last cell, its input 1.
        follows: Whether the last cell is a reduction, so that input 0 is twice as large as input 1.
    """

    kind: str
    width: int
    before: int
    last: int
    follows: bool

    def operation(self, name: str, source: int) -> nn.Module:
        """Return an operation on this input of a node, with fresh weights."""
        halves = self.kind == "reduction" and source < INPUTS
        return OPERATIONS[name](self.width, 2 if halves else 1)


MakeCell: TypeAlias = Callable[[Place], "DartsCell"]


def build_dartsnet(architecture: Architecture, channels: int, classes: int) -> nn.Module:
    """Return the network of two cells: ``(b, c, h, w) -> (b, k)``.

    As in DARTS (Liu et al. 2019, https://arxiv.org/abs/1806.09055), without its auxiliary head and
    path dropout. Cells that are the same network in two spellings are built alike.

    Args:
        architecture: It decides the cells `normal` and `reduction`, how many `cells` there are, and
            `channels` of the nodes of the first.
        channels: `c`: 1 for greyscale, 3 for colour.
        classes: `k`.

    Raises:
        ConfigurationError: A cell has an operation that is not among `OPERATIONS`.
    """
    taken = {kind: wires_of(architecture, kind) for kind in KINDS}

    def cell(place: Place) -> DartsCell:
        nodes = [
            [{source: place.operation(name, source)} for source, name in inputs]
            for inputs in taken[place.kind]
        ]
        return DartsCell(place, nodes, taken[place.kind])

    return DartsNet(architecture, channels, classes, cell)


def wires_of(architecture: Architecture, kind: str) -> Wires:
    """Return the wires of a cell, the same for all spellings of one network.

    Raises:
        ConfigurationError: It is no such cell, or has an operation that is not known.
    """
    value = architecture.nested[kind]
    cell = wired_cell_of(value)
    if cell is None or not set(cell.operations) <= OPERATIONS.keys():
        raise ConfigurationError(
            f"the cell {kind}={value} cannot be built; allowed: the value of a WiredCell with the "
            f"operations {', '.join(OPERATIONS)}"
        )
    return wires(cell.graph(value))


@final
class DartsNet(nn.Module):
    """A stem, cells of which each takes the outputs of the two before it, and a linear head.

    Args:
        architecture: It decides how many cells there are, and how wide.
        channels: `c`.
        classes: `k`.
        cell: Makes a cell.
    """

    def __init__(
        self, architecture: Architecture, channels: int, classes: int, cell: MakeCell
    ) -> None:
        super().__init__()
        cells = list(places(architecture))
        stem = cells[0].last
        self.stem = nn.Sequential(
            nn.Conv2d(channels, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem)
        )
        self.cells = nn.ModuleList(map(cell, cells))
        self.head = nn.Linear(_width(architecture, cells[-1]), classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits of shape ``(b, k)``."""
        before = last = self.stem(pictures)
        for cell in self.cells:
            before, last = last, cell(before, last)
        logits: Tensor = self.head(last.mean(dim=(2, 3)))
        return logits


def places(architecture: Architecture) -> Iterator[Place]:
    """Yield where the cells of a network stand."""
    cells, width = architecture["cells"], architecture["channels"]
    before = last = STEM * width
    follows = False
    for index in range(cells):
        reduces = index in (cells // 3, 2 * cells // 3)
        width *= 1 + reduces
        place = Place(KINDS[reduces], width, before, last, follows)
        yield place
        before, last, follows = last, _width(architecture, place), reduces


def _width(architecture: Architecture, place: Place) -> int:
    """Return the channels of a cell's output."""
    return place.width * len(architecture[place.kind])


@final
class DartsCell(nn.Module):
    """A cell: each node is the sum of what is made of its two inputs; all are its output.

    Args:
        place: Where it stands.
        nodes: For each node and each of its two inputs, what is done with which source.
        taken: The sources that are taken of these.

    Attributes:
        kind: Which of the cells it is.
        taken: As above; it may be changed.
    """

    def __init__(self, place: Place, nodes: Sequence[Sequence[Sources]], taken: Wires) -> None:
        super().__init__()
        self.kind = place.kind
        self.before = (Halving if place.follows else _pointwise)(place.before, place.width)
        self.last = _pointwise(place.last, place.width)
        self.nodes = nn.ModuleDict(
            {str(number): _node(inputs) for number, inputs in enumerate(nodes, start=INPUTS)}
        )
        self.taken = taken

    def inputs(self) -> Iterator[tuple[Any, Wire]]:
        """Yield what makes the inputs of the nodes, two for each, and the wires they stand for."""
        for number, wires_in in enumerate(self.taken, start=INPUTS):
            node: Any = self.nodes[str(number)]
            for slot, wire in zip(SLOTS, wires_in, strict=True):
                yield node[slot][f"from_{wire[0]}"], wire

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        """Return ``(b, nodes * width, h', w')``, of half the size (rounded up) if it reduces."""
        maps = [self.before(before), self.last(last)]
        inputs = self.inputs()
        for (left, (a, _)), (right, (b, _)) in zip(inputs, inputs, strict=True):
            maps.append(left(maps[a]) + right(maps[b]))
        return torch.cat(maps[INPUTS:], dim=1)


def _node(inputs: Sequence[Sources]) -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            slot: nn.ModuleDict({f"from_{source}": made for source, made in sources.items()})
            for slot, sources in zip(SLOTS, inputs, strict=True)
        }
    )


@final
class Halving(nn.Module):
    """Halves the maps by taking every second pixel, and for the other channels the ones between."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(width_in, width - width // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(width_in, width // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``(b, width_in, h, w)`` to ``(b, width, ceil(h / 2), ceil(w / 2))``."""
        maps = relu(maps)
        between = pad(maps, (0, 1, 0, 1))[:, :, 1:, 1:]
        halved: Tensor = self.norm(torch.cat([self.even(maps), self.odd(between)], dim=1))
        return halved


def _pointwise(width_in: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(), nn.Conv2d(width_in, width, 1, bias=False), nn.BatchNorm2d(width)
    )


def _depthwise(width: int, kernel: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    """Return one kernel per channel, then a mix of the channels."""
    shape: dict[str, Any] = {"padding": dilation * (kernel // 2), "dilation": dilation}
    return [
        nn.ReLU(),
        nn.Conv2d(width, width, kernel, stride, groups=width, bias=False, **shape),
        nn.Conv2d(width, width, 1, bias=False),
        nn.BatchNorm2d(width),
    ]


def _separable(width: int, kernel: int, stride: int) -> nn.Module:
    return nn.Sequential(*_depthwise(width, kernel, stride), *_depthwise(width, kernel))


def _skip(width: int, stride: int) -> nn.Module:
    return Halving(width, width) if stride > 1 else nn.Identity()


OPERATIONS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "skip_connect": _skip,
    "max_pool_3x3": lambda _, stride: nn.MaxPool2d(3, stride, padding=1),
    "avg_pool_3x3": lambda _, stride: nn.AvgPool2d(3, stride, padding=1, count_include_pad=False),
    "sep_conv_3x3": lambda width, stride: _separable(width, 3, stride),
    "sep_conv_5x5": lambda width, stride: _separable(width, 5, stride),
    "dil_conv_3x3": lambda width, stride: nn.Sequential(*_depthwise(width, 3, stride, dilation=2)),
    "dil_conv_5x5": lambda width, stride: nn.Sequential(*_depthwise(width, 5, stride, dilation=2)),
}
