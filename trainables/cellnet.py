"""Networks of NAS-Bench-201's space: `b` pictures, `c` channels, `h` x `w` pixels, `k` classes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from phylon.search.architecture import Architecture
from phylon.search.cell import Edge
from phylon.search.errors import ConfigurationError
from phylon.trainables.nasbench201 import cell_of

STAGES = 3


def build_cellnet(architecture: Architecture, channels: int, classes: int) -> nn.Module:
    """Return the network of a cell (Dong and Yang 2020): ``(b, c, h, w) -> (b, k)``.

    Three stages of equal cells, each stage twice as wide as the one before and on maps of half its
    size, between a convolution of the pictures and a linear layer on the mean of the maps.

    Args:
        architecture: It decides `cell`, `cells` of a stage, and `channels` of the first stage.
        channels: `c`: 1 for greyscale, 3 for colour.
        classes: `k`.

    Raises:
        ConfigurationError: The cell has an operation that is not among `OPERATIONS`.
    """
    decisions = architecture.nested
    value = decisions["cell"]
    cell = cell_of(value)
    if cell is None or not set(value.values()) <= OPERATIONS.keys():
        raise ConfigurationError(
            f"the cell {value} cannot be built; allowed: the value of a Cell with the "
            f"operations {', '.join(OPERATIONS)}"
        )
    live = [edge for edge, _ in cell.live(value)]

    def new_cell(width: int) -> nn.Module:
        return GraphCell({name: OPERATIONS[value[name]](width) for name in value}, live)

    sizes = decisions["cells"], decisions["channels"]
    return assemble(new_cell, nn.Sequential, *sizes, channels, classes)


def assemble(
    new_cell: Callable[[int], nn.Module],
    repeat: Callable[..., nn.Module],
    cells: int,
    width: int,
    channels: int,
    classes: int,
) -> nn.Module:
    """Return a network of cells: ``(b, c, h, w) -> (b, k)``.

    Args:
        new_cell: Makes a cell of so many channels.
        repeat: Makes one module of the cells of a stage, given one by one.
        cells: Cells of a stage.
        width: Channels of the first stage.
        channels: `c`.
        classes: `k`.
    """
    stem = nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
    )
    stages = []
    for stage in range(STAGES):
        parts: dict[str, nn.Module] = {}
        if stage:
            parts["reduction"] = Reduction(width, 2 * width)
            width *= 2
        parts["cells"] = repeat(*[new_cell(width) for _ in range(cells)])
        stages.append(nn.Sequential(OrderedDict(parts)))
    head = [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(
        OrderedDict(
            stem=stem,
            stages=nn.Sequential(*stages),
            head=nn.Sequential(*head, nn.Linear(width, classes)),
        )
    )


@final
class GraphCell(nn.Module):
    """A cell: each node is the sum of what its edges make of earlier nodes.

    Every convolution has its parameters, as in the benchmark, but those that no path from the input
    to the output leads through are not computed. Without any path the output is zero.

    Args:
        edges: What each edge does, by its name.
        live: The edges that are computed, by source and target, those of earlier targets first.

    Attributes:
        live: The same; it may be changed.
    """

    def __init__(self, edges: Mapping[str, nn.Module], live: Sequence[Edge]) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(edges)
        self.live = live

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``(b, width, h, w)`` to the same shape."""
        nodes = {0: maps}
        target = 0
        for source, target in self.live:
            brought = self.edges[f"edge_{source}_{target}"](nodes[source])
            nodes[target] = nodes[target] + brought if target in nodes else brought
        return nodes[target] if self.live else torch.zeros_like(maps)


@final
class Reduction(nn.Module):
    """A residual block that halves the maps and changes their width."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(width_in, width, 3, stride=2), _convolution(width, width, 3)
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True),  # odd sides are rounded up, as by the convolution
            nn.Conv2d(width_in, width, 1, bias=False),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``(b, width_in, h, w)`` to ``(b, width, ceil(h / 2), ceil(w / 2))``."""
        return torch.add(self.shortcut(maps), self.body(maps))


def _convolution(width_in: int, width: int, kernel: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(width_in, width, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width),
    )


OPERATIONS: Mapping[str, Callable[[int], nn.Module]] = {
    "none": lambda _: nn.Identity(),  # never computed
    "skip_connect": lambda _: nn.Identity(),
    "nor_conv_1x1": lambda width: _convolution(width, width, 1),
    "nor_conv_3x3": lambda width: _convolution(width, width, 3),
    "avg_pool_3x3": lambda _: nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
}
