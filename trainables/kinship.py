"""Kinship: which layers of a network descend from which layers of another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, final


class Channels(NamedTuple):
    """The channels that a layer reads or writes.

    Attributes:
        group: Layers that name the same group have channels in common, so that a child's channel
            stands for the same one of the parent in all of them: a shortcut passes channels on, a
            depthwise convolution keeps them apart.
        width: How many there are; of each part, if there are parts.
        parts: Who wrote what is concatenated here; nothing where nothing is.
    """

    group: str
    width: int
    parts: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """The channels of all parts."""
        return self.width * max(1, len(self.parts))


class Layer(NamedTuple):
    """What is known of a layer by its architecture.

    Attributes:
        kind: Of which torch class it is; a depthwise convolution has a kernel per channel.
        reads: Its input.
        writes: Its output.
        kernel: Side of the kernel of a convolution, in pixels.
    """

    kind: Literal["convolution", "depthwise", "norm", "linear"]
    reads: Channels
    writes: Channels
    kernel: int = 1

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of its tensors by their names in the layer."""
        out, sides = self.writes.total, (self.kernel, self.kernel)
        match self.kind:
            case "convolution":
                return {"weight": (out, self.reads.total, *sides)}
            case "depthwise":
                return {"weight": (out, 1, *sides)}
            case "linear":
                return {"weight": (out, self.reads.total), "bias": (out,)}
            case "norm":
                per_channel = ("weight", "bias", "running_mean", "running_var")
                return {**dict.fromkeys(per_channel, (out,)), "num_batches_tracked": ()}


Layers: TypeAlias = dict[str, Layer]
"""Layers by name: what the names of their tensors begin with in the network's state."""


class From(NamedTuple):
    """A layer begins as a layer of the parent, of the same kind."""

    layer: str


class Identity(NamedTuple):
    """A layer without an ancestor begins by passing on what it reads.

    Attributes:
        channels: What that is in the parent.
        norms: The norms of the parent, the sum of whose outputs, rectified, that is. By them a new
            norm knows the mean and variance that it meets. Without any it begins afresh.
    """

    channels: Channels
    norms: tuple[str, ...] = ()


class Zero(NamedTuple):
    """A norm without an ancestor begins with weight 0: the branch that it ends adds nothing yet."""


Descent: TypeAlias = From | Identity | Zero


@final
@dataclass(frozen=True, slots=True)
class Kinship:
    """How a child's network descends from its parent's; nothing in it is a weight.

    Attributes:
        parent: All layers of the parent's network that have weights.
        child: All those of the child's.
        descent: What layers of the child begin as; the others begin afresh.
    """

    parent: Mapping[str, Layer]
    child: Mapping[str, Layer]
    descent: Mapping[str, Descent]


def normed(
    names: tuple[str, str], reads: Channels, writes: Channels, kernel: int, *, apart: bool = False
) -> Layers:
    """Return a convolution and the norm that follows it.

    Args:
        names: Of both.
        reads: Input of the convolution.
        writes: Its output, and that of the norm.
        kernel: Side, in pixels.
        apart: Whether it keeps the channels apart.
    """
    convolution, norm = names
    return {
        convolution: Layer("depthwise" if apart else "convolution", reads, writes, kernel),
        norm: Layer("norm", writes, writes),
    }
