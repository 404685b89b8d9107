"""Networks of the macro space: `b` pictures, `c` channels, `h` x `w` pixels, `k` classes."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from phylon.search.architecture import Architecture

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


def build_convnet(architecture: Architecture, channels: int, classes: int) -> nn.Module:
    """Return the network an architecture of `macro_space` describes: ``(b, c, h, w) -> (b, k)``.

    Args:
        architecture: Any architecture of a `macro_space` for pictures of h x w pixels.
        channels: `c`: 1 for greyscale, 3 for colour.
        classes: `k`.
    """
    decisions = architecture.nested
    activation = ACTIVATIONS[decisions["activation"]]
    width = decisions["stages"][0]["width"]
    layers: list[nn.Module] = [_convolution(channels, width, 3), activation()]
    for stage in decisions["stages"]:
        layers += _stage(stage, width, activation)
        width = stage["width"]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(decisions["dropout"])]
    return nn.Sequential(*layers, *head, nn.Linear(width, classes))


def _stage(stage: dict[str, Any], width_in: int, activation: type[nn.Module]) -> list[nn.Module]:
    """Return a stage's blocks and pooling; with `stride`, the last block does the halving."""
    last = stage["depth"] - 1
    layers: list[nn.Module] = []
    for index in range(stage["depth"]):
        stride = 2 if stage["pooling"] == "stride" and index == last else 1
        block = BLOCKS[stage["block"]["type"]]
        kernel = stage["block"]["kernel"]
        layers.append(block(width_in, stage["width"], kernel, stride, activation))
        width_in = stage["width"]
    if stage["pooling"] == "max":
        layers.append(nn.MaxPool2d(2))
    elif stage["pooling"] == "avg":
        layers.append(nn.AvgPool2d(2))
    return layers


def _convolution(width_in: int, width: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width_in, width, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width),
    )


def _plain(
    width_in: int, width: int, kernel: int, stride: int, activation: type[nn.Module]
) -> nn.Module:
    return nn.Sequential(_convolution(width_in, width, kernel, stride), activation())


def _separable(
    width_in: int, width: int, kernel: int, stride: int, activation: type[nn.Module]
) -> nn.Module:
    """One kernel per channel, then a mix of the channels."""
    depthwise = nn.Conv2d(
        width_in, width_in, kernel, stride, padding=kernel // 2, groups=width_in, bias=False
    )
    norm = nn.BatchNorm2d(width_in)
    return nn.Sequential(
        depthwise, norm, activation(), _convolution(width_in, width, 1), activation()
    )


@final
class Residual(nn.Module):
    """Two convolutions beside a shortcut, which is projected where the shape changes."""

    def __init__(
        self, width_in: int, width: int, kernel: int, stride: int, activation: type[nn.Module]
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(width_in, width, kernel, stride),
            activation(),
            _convolution(width, width, kernel),
        )
        same = width_in == width and stride == 1
        self.shortcut = nn.Identity() if same else _convolution(width_in, width, 1, stride)
        self.activation = activation()

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``(b, width_in, h, w)`` to ``(b, width, ceil(h / stride), ceil(w / stride))``."""
        mapped: Tensor = self.activation(torch.add(self.body(maps), self.shortcut(maps)))
        return mapped


BLOCKS = {"plain": _plain, "residual": Residual, "separable": _separable}
