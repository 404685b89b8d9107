"""Kinship of networks of the macro space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from phylon.search.architecture import Architecture
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

GAP = 0.6
"""What a stage without a counterpart costs an alignment; two that differ in all cost 1."""

MAIN = {"plain": ("0.0", "0.1"), "residual": ("body.0.0", "body.0.1"), "separable": ("3.0", "3.1")}
"""The convolution that changes the channels of a block, and its norm, by the block's type."""


class Stream(NamedTuple):
    """What flows between two blocks: its channels, and the norms whose rectified sum it is."""

    channels: Channels
    norms: tuple[str, ...]


class Block(NamedTuple):
    """A block of a stage.

    Attributes:
        name: What the names of its layers begin with.
        kind: Its type.
        layers: By their names in the block.
        output: What it gives to the next one.
    """

    name: str
    kind: str
    layers: Layers
    output: Stream

    @property
    def full(self) -> Layers:
        """The layers by their names in the network."""
        return {f"{self.name}.{name}": layer for name, layer in self.layers.items()}


class Stage(NamedTuple):
    """A stage: what was decided for it, what it reads, and its blocks."""

    decided: Mapping[str, Any]
    reads: Channels
    blocks: tuple[Block, ...]


class Network(NamedTuple):
    """A network: its stages, and all layers by name."""

    stages: tuple[Stage, ...]
    layers: Layers


def macro_kinship(
    parent: Architecture, child: Architecture, channels: int, classes: int
) -> Kinship:
    """Return the kinship of two networks that `build_convnet` builds.

    Stages are aligned as sequences, so that one which was inserted or removed shifts the others;
    blocks are matched by place, layers by their part in a block.

    The child computes what the parent does where a stage became wider, or got larger kernels; with
    relu, for which act(act(x)) = act(x), also where a stage became deeper, and where plain blocks
    became residual ones whose shortcuts are projections. With gelu and silu these last two are
    near. A stage that becomes as wide as the one before loses the projection of its shortcut, and
    one that shrinks loses channels, blocks or the rim of its kernels.

    Args:
        parent: An architecture of a `macro_space`.
        child: Another one.
        channels: Of the pictures.
        classes: To tell apart.
    """
    old, new = (describe(each, channels, classes) for each in (parent, child))
    descent: dict[str, Descent] = {name: From(name) for name in ("stem.0", "stem.1", "linear")}
    stem = old.layers["stem.1"].writes
    stream = Stream(stem, ("stem.1",))
    for stage, source in zip(new.stages, _aligned(old.stages, new.stages), strict=True):
        for block, ancestor in zip(stage.blocks, _ancestors(stage, source), strict=True):
            begun = _identity(block, stream)
            if ancestor is not None:
                begun = _descended(block, ancestor, begun)
                stream = ancestor.output
            descent |= {f"{block.name}.{name}": each for name, each in begun.items()}
    return Kinship(old.layers, new.layers, descent)


def describe(architecture: Architecture, channels: int, classes: int) -> Network:
    """Return what `build_convnet` makes of an architecture."""
    decisions = architecture.nested
    stem = Channels("stem", decisions["stages"][0]["width"])
    layers = normed(("stem.0", "stem.1"), Channels("picture", channels), stem, 3)
    stream = Stream(stem, ("stem.1",))
    stages = []
    for number, decided in enumerate(decisions["stages"]):
        stage = _stage(number, decided, stream)
        stream = stage.blocks[-1].output
        stages.append(stage)
        for block in stage.blocks:
            layers |= block.full
    layers["linear"] = Layer("linear", stream.channels, Channels("classes", classes))
    return Network(tuple(stages), layers)


def _stage(number: int, decided: Mapping[str, Any], reads: Stream) -> Stage:
    kind, kernel = decided["block"]["type"], decided["block"]["kernel"]
    depth, width = decided["depth"], decided["width"]
    halving = depth - 1 if decided["pooling"] == "stride" else None
    alike = kind == "residual" and width == reads.channels.width and halving != 0
    writes = reads.channels if alike else Channels(f"stage {number}", width)
    blocks: list[Block] = []
    for index in range(depth):
        before = blocks[-1].output if blocks else reads
        name = f"stages.{number}.blocks.{index}"
        if kind == "residual":
            projected = index == halving or before.channels.width != width
            blocks.append(_residual(name, kernel, before, writes, projected=projected))
        else:
            blocks.append(_rectified(name, kind, kernel, before.channels, writes))
    return Stage(decided, reads.channels, tuple(blocks))


def _rectified(name: str, kind: str, kernel: int, reads: Channels, writes: Channels) -> Block:
    """Return a plain or separable block."""
    layers: Layers = {}
    if kind == "separable":
        layers, kernel = normed(("0", "1"), reads, reads, kernel, apart=True), 1
    layers |= normed(MAIN[kind], reads, writes, kernel)
    return Block(name, kind, layers, Stream(writes, (f"{name}.{MAIN[kind][1]}",)))


def _residual(name: str, kernel: int, reads: Stream, writes: Channels, *, projected: bool) -> Block:
    inner = Channels(f"{name} inner", writes.width)
    layers = normed(MAIN["residual"], reads.channels, inner, kernel)
    layers |= normed(("body.2.0", "body.2.1"), inner, writes, kernel)
    beside = reads.norms
    if projected:
        layers |= normed(("shortcut.0", "shortcut.1"), reads.channels, writes, 1)
        beside = (f"{name}.shortcut.1",)
    return Block(name, "residual", layers, Stream(writes, (*beside, f"{name}.body.2.1")))


def _aligned(old: Sequence[Stage], new: Sequence[Stage]) -> tuple[Stage | None, ...]:
    """Return the counterpart of each new stage: in order, and as like as can be."""

    @cache
    def best(i: int, j: int) -> tuple[float, tuple[Stage | None, ...]]:
        if j == len(new):
            return GAP * (len(old) - i), ()
        ways = []
        if i < len(old):
            cost, rest = best(i + 1, j + 1)
            ways.append((cost + _difference(old[i], new[j]), (old[i], *rest)))
            cost, rest = best(i + 1, j)
            ways.append((cost + GAP, rest))
        cost, rest = best(i, j + 1)
        ways.append((cost + GAP, (None, *rest)))
        return min(ways, key=lambda way: way[0])

    return best(0, 0)[1]


def _difference(old: Stage, new: Stage) -> float:
    """Return the share of decisions that differ."""
    ours, theirs = ({**each.decided, **each.decided["block"]} for each in (new, old))
    names = ("type", "kernel", "depth", "width", "pooling")
    return len([name for name in names if ours[name] != theirs[name]]) / len(names)


def _ancestors(stage: Stage, source: Stage | None) -> Iterator[Block | None]:
    """Yield the counterpart of each block of a stage.

    Where the last one halves the maps, new ones come before it if they can pass on all channels.
    """
    blocks = source.blocks if source else ()
    added = len(stage.blocks) - len(blocks)
    last = len(blocks)
    if added > 0 and blocks and stage.decided["pooling"] == "stride":
        last -= last > 1 or stage.decided["width"] >= stage.reads.width
    yield from blocks[: min(last, len(stage.blocks))]
    yield from [None] * max(0, added)
    yield from blocks[last:]


def _identity(block: Block, stream: Stream) -> dict[str, Descent]:
    """Return how a new block begins, so that it passes on what it reads."""
    passing = Identity(*stream)
    if block.kind != "residual":
        return dict.fromkeys(block.layers, passing)
    shortcut = [name for name in block.layers if name.startswith("shortcut")]
    return {**dict.fromkeys(shortcut, passing), "body.2.1": Zero()}


def _descended(block: Block, ancestor: Block, new: dict[str, Descent]) -> dict[str, Descent]:
    """Return how a block with an ancestor begins, given how it would without one.

    The main convolution of a block of another type is that of the ancestor. What is new beside it
    passes on: what a separable block has before it, a residual one after it; a new projection does
    not beside the main convolution of another type.
    """
    layers = {**new}
    if block.kind == ancestor.kind:
        return layers | {
            name: From(f"{ancestor.name}.{name}")
            for name in block.layers
            if name in ancestor.layers
        }
    norm = f"{ancestor.name}.{MAIN[ancestor.kind][1]}"
    if block.kind == "residual":
        channels = ancestor.layers[MAIN[ancestor.kind][1]].writes
        passing = Identity(channels, (norm,))
        layers |= {"body.2.0": passing, "body.2.1": passing}
        if "shortcut.1" in block.layers:
            layers["shortcut.1"] = Zero()
    for name, theirs in zip(MAIN[block.kind], MAIN[ancestor.kind], strict=True):
        layers[name] = From(f"{ancestor.name}.{theirs}")
    return layers
