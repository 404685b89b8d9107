"""Networks of NAS-Bench-201's space: `b` pictures, `c` channels, `h` x `w` pixels, `k` classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from phylon.search.architecture import Architecture
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
    width = decisions["channels"]
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
    ]
    for stage in range(STAGES):
        if stage:
            layers.append(Reduction(width, 2 * width))
            width *= 2
        layers += [GraphCell(decisions["cell"], width) for _ in range(decisions["cells"])]
    head = [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *head, nn.Linear(width, classes))


@final
class GraphCell(nn.Module):
    """A cell: each node is the sum of what its edges make of earlier nodes.

    Every convolution has its parameters, as in the benchmark, but those that no path from the input
    to the output leads through are not computed. Without any path the output is zero.

    Args:
        value: The operation of each edge, as in an architecture.
        width: Channels of every node.

    Raises:
        ConfigurationError: An operation is not known.
    """

    def __init__(self, value: Mapping[str, Any], width: int) -> None:
        super().__init__()
        cell = cell_of(value)
        if cell is None or not set(value.values()) <= OPERATIONS.keys():
            raise ConfigurationError(
                f"the cell {dict(value)} cannot be built; allowed: the value of a Cell with the "
                f"operations {', '.join(OPERATIONS)}"
            )
        self._output = cell.nodes - 1
        self._live = [edge for edge, _ in cell.live(dict(value))]
        self._edges = nn.ModuleDict({name: OPERATIONS[value[name]](width) for name in value})

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``(b, width, h, w)`` to the same shape."""
        nodes = {0: maps}
        for source, target in self._live:
            brought = self._edges[f"edge_{source}_{target}"](nodes[source])
            nodes[target] = nodes[target] + brought if target in nodes else brought
        return nodes[self._output] if self._output in nodes else torch.zeros_like(maps)


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
