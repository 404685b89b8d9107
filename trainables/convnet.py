"""Networks of the macro space: `b` pictures, `c` channels, `h` x `w` pixels, `k` classes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, final

import torch
from torch import Tensor, nn

from phylon.search.architecture import Architecture

Activation: TypeAlias = Callable[[], nn.Module]

ACTIVATIONS: Mapping[str, Activation] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}
POOLINGS: Mapping[str, Callable[[], nn.Module]] = {
    "max": lambda: nn.MaxPool2d(2),
    "avg": lambda: nn.AvgPool2d(2),
    "stride": nn.Identity,  # the last block's
}


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
    stem = convolution(channels, width, 3)
    stages = []
    for stage in decisions["stages"]:
        stages.append(_stage(stage, width, activation))
        width = stage["width"]
    head = nn.Dropout(decisions["dropout"]), nn.Linear(width, classes)
    return assemble(stem, activation, nn.Sequential(*stages), *head)


def assemble(
    stem: nn.Module,
    activation: Activation,
    stages: nn.Module,
    dropout: nn.Module,
    linear: nn.Module,
) -> nn.Sequential:
    """Return a network of stages, under the names that its parts have in every network."""
    return nn.Sequential(
        OrderedDict(
            stem=stem,
            activation=activation(),
            stages=stages,
            mean=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            dropout=dropout,
            linear=linear,
        )
    )


def assemble_stage(blocks: nn.Module, pooling: nn.Module) -> nn.Sequential:
    """Return a stage, under the names that its parts have in every network."""
    return nn.Sequential(OrderedDict(blocks=blocks, pooling=pooling))


def _stage(stage: dict[str, Any], width_in: int, activation: Activation) -> nn.Module:
    """Return a stage's blocks and pooling; with `stride`, the last block does the halving."""
    last = stage["depth"] - 1
    blocks = []
    for index in range(stage["depth"]):
        stride = 2 if stage["pooling"] == "stride" and index == last else 1
        block = BLOCKS[stage["block"]["type"]]
        kernel = stage["block"]["kernel"]
        blocks.append(block(width_in, stage["width"], kernel, stride, activation))
        width_in = stage["width"]
    return assemble_stage(nn.Sequential(*blocks), POOLINGS[stage["pooling"]]())


def convolution(width_in: int, width: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Map ``(b, width_in, h, w)`` to ``(b, width, ceil(h / stride), ceil(w / stride))``, normed."""
    return nn.Sequential(
        nn.Conv2d(width_in, width, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width),
    )


def _plain(
    width_in: int, width: int, kernel: int, stride: int, activation: Activation
) -> nn.Module:
    return nn.Sequential(convolution(width_in, width, kernel, stride), activation())


def _separable(
    width_in: int, width: int, kernel: int, stride: int, activation: Activation
) -> nn.Module:
    """One kernel per channel, then a mix of the channels."""
    depthwise = nn.Conv2d(
        width_in, width_in, kernel, stride, padding=kernel // 2, groups=width_in, bias=False
    )
    norm = nn.BatchNorm2d(width_in)
    return nn.Sequential(
        depthwise, norm, activation(), convolution(width_in, width, 1), activation()
    )


@final
class Residual(nn.Module):
    """Two convolutions beside a shortcut, which is projected where the shape changes."""

    def __init__(
        self, width_in: int, width: int, kernel: int, stride: int, activation: Activation
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(width_in, width, kernel, stride),
            activation(),
            convolution(width, width, kernel),
        )
        same = width_in == width and stride == 1
        self.shortcut: nn.Module = (
            nn.Identity() if same else convolution(width_in, width, 1, stride)
        )
        self.activation = activation()

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``(b, width_in, h, w)`` to ``(b, width, ceil(h / stride), ceil(w / stride))``."""
        mapped: Tensor = self.activation(torch.add(self.body(maps), self.shortcut(maps)))
        return mapped


BLOCKS: Mapping[str, Callable[[int, int, int, int, Activation], nn.Module]] = {
    "plain": _plain,
    "residual": Residual,
    "separable": _separable,
}
