"""All networks of the macro space in one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, final

from torch import nn

from phylon.search.architecture import Architecture
from phylon.search.errors import ConfigurationError
from phylon.search.space import SearchSpace
from phylon.trainables.conversion import make_elastic
from phylon.trainables.convnet import (
    ACTIVATIONS,
    BLOCKS,
    POOLINGS,
    Activation,
    Residual,
    assemble,
    assemble_stage,
    convolution,
)
from phylon.trainables.elastic import ElasticConv2d, ElasticDepth, OneOf
from phylon.trainables.supernet import Supernet, largest, parts


class Sizes(NamedTuple):
    """The largest of each size: how many stages, blocks, channels, and each block's kernel."""

    stages: int
    depth: int
    width: int
    kernels: Mapping[str, int]


class Stage(NamedTuple):
    """What is selected in a stage."""

    blocks: list[OneOf]
    depth: ElasticDepth
    pooling: OneOf


class Parts(NamedTuple):
    """What is selected in a network."""

    stem: list[ElasticConv2d]
    activation: OneOf
    stages: list[Stage]
    depth: ElasticDepth
    dropout: nn.Dropout


@final
class MacroSupernet(Supernet):
    """Every block holds all types, each with the largest kernel and width.

    Args:
        space: One whose architectures `build_convnet` builds.
        build: Builds them.
        channels: Of the pictures.
        classes: To tell apart.

    Raises:
        ConfigurationError: The networks of the space cannot share weights, or its stages are not
            made as those of `macro_space`.
    """

    shares = ("stages", "activation", "dropout")

    def __init__(
        self,
        space: SearchSpace,
        build: Callable[[Architecture], nn.Module],
        channels: int,
        classes: int,
    ) -> None:
        sizes = _largest_sizes(space)
        activation = OneOf(**{name: new() for name, new in ACTIVATIONS.items()})
        stem = convolution(channels, sizes.width, 3)
        stages = [_new_stage(sizes, lambda: activation) for _ in range(sizes.stages)]
        depth = ElasticDepth(*[assemble_stage(each.depth, each.pooling) for each in stages])
        dropout, linear = nn.Dropout(), nn.Linear(sizes.width, classes)
        network = make_elastic(assemble(stem, lambda: activation, depth, dropout, linear))
        super().__init__(space, build, network)
        self._parts = Parts(parts(stem, ElasticConv2d), activation, stages, depth, dropout)

    def select(self, architecture: Architecture) -> None:
        """Activate types, kernels, widths and numbers of blocks, activation and dropout."""
        decisions = architecture.nested
        width = decisions["stages"][0]["width"]
        for each in self._parts.stem:
            each.select(width=width)
        self._parts.activation.select(decisions["activation"])
        self._parts.dropout.p = decisions["dropout"]
        self._parts.depth.select(len(decisions["stages"]))
        for stage, decided in zip(self._parts.stages, decisions["stages"], strict=False):
            _select_stage(stage, decided, width)
            width = decided["width"]


def _largest_sizes(space: SearchSpace) -> Sizes:
    stages: Any = space.root.children["stages"]
    refusal = ConfigurationError(
        f"space: stages is {stages!r}, for which there is no supernet; allowed: a Repeat of blocks "
        f"with the decisions of macro_space, of the types {', '.join(BLOCKS)}"
    )
    try:
        stage = stages.item.children
        blocks = stage["block"].children
        kernels = {name: largest("kernel", blocks[name].children["kernel"]) for name in blocks}
        depth, width = largest("depth", stage["depth"]), largest("width", stage["width"])
    except (AttributeError, KeyError) as error:
        raise refusal from error
    if not kernels or not kernels.keys() <= BLOCKS.keys():
        raise refusal
    return Sizes(stages.high, depth, width, kernels)


def _new_stage(sizes: Sizes, activation: Activation) -> Stage:
    blocks = [
        OneOf(**{kind: _new_block(kind, sizes, activation) for kind in sizes.kernels})
        for _ in range(sizes.depth)
    ]
    pooling = OneOf(**{name: new() for name, new in POOLINGS.items()})
    return Stage(blocks, ElasticDepth(*blocks), pooling)


def _new_block(kind: str, sizes: Sizes, activation: Activation) -> nn.Module:
    """Return the largest block; with a stride, by which `_select_stage` knows who may have one."""
    block = BLOCKS[kind](sizes.width, sizes.width, sizes.kernels[kind], 2, activation)
    if isinstance(block, Residual):
        block.shortcut = OneOf(projection=block.shortcut, identity=nn.Identity())
    return block


def _select_stage(stage: Stage, decided: Mapping[str, Any], width_in: int) -> None:
    width, kernel, depth = decided["width"], decided["block"]["kernel"], decided["depth"]
    stage.depth.select(depth)
    stage.pooling.select(decided["pooling"])
    for index, choice in enumerate(stage.blocks[:depth]):
        stride = 2 if decided["pooling"] == "stride" and index == depth - 1 else 1
        choice.select(decided["block"]["type"])
        for each in parts(choice.active, ElasticConv2d):
            # Convolutions of one pixel, or without a stride, stay so.
            sides = min(kernel, each.kernel_size[0]), min(stride, each.stride[0])
            each.select(width=width, kernel=sides[0], stride=sides[1])
        if isinstance(choice.active, Residual) and isinstance(choice.active.shortcut, OneOf):
            same = width_in == width and stride == 1
            choice.active.shortcut.select("identity" if same else "projection")
        width_in = width
