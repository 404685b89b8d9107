"""What a layer begins with that descends from a parent's: copied, grown, cut, or passing on."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.special import ndtr

from phylon.search.evaluation import Weights
from phylon.trainables.inherit_channels import ALL, ChannelMaps, numbered
from phylon.trainables.kinship import From, Identity, Kinship, Layer, Zero

EPSILON = 1e-5
"""What `nn.BatchNorm2d` adds to a variance."""


class Beginning(NamedTuple):
    """What a layer begins with.

    Attributes:
        tensors: By their names in the layer; what is not here begins afresh.
        inherited: How many numbers in its parameters came from the parent.
        copied: The layer of the parent of which it is a copy, unchanged; nothing if of none.
    """

    tensors: dict[str, Tensor]
    inherited: int = 0
    copied: str = ""


@final
class Heir:
    """Makes the layers of a child, in all of which a channel stands for the same of the parent.

    Args:
        weights: The parent's, by name.
        kinship: How the child descends from it.
        seed: Of all that is drawn.
    """

    def __init__(self, weights: Weights, kinship: Kinship, seed: int) -> None:
        self._weights = weights
        self._kinship = kinship
        self._maps = ChannelMaps(seed)

    def layer(self, name: str) -> Beginning:
        """Return what a layer of the child begins with."""
        layer = self._kinship.child[name]
        match self._kinship.descent.get(name):
            case None:
                return Beginning({})
            case From(ancestor):
                return self._descendant(layer, ancestor)
            case Zero():
                width = layer.writes.total
                return Beginning({"weight": torch.zeros(width), "bias": torch.zeros(width)})
            case Identity() as passed:
                make = self._norm if layer.kind == "norm" else self._convolution
                return Beginning(make(layer, passed))

    def _descendant(self, layer: Layer, ancestor: str) -> Beginning:
        theirs = self._kinship.parent[ancestor]
        out = self._maps.index(layer.writes, theirs.writes)
        tensors = {each: self._tensor(ancestor, each) for each in theirs.shapes}
        if out is not ALL:
            tensors = {each: it[out] if it.ndim else it for each, it in tensors.items()}
        copied = out is ALL and layer.kernel == theirs.kernel
        weight = tensors["weight"]
        if layer.kind in ("convolution", "linear"):
            into = self._maps.index(layer.reads, theirs.reads)
            copied &= into is ALL
            weight = weight if into is ALL else weight[:, into]
            factors = self._maps.split(into, len(weight), theirs.reads.total)
            if factors is not None:
                weight = weight * (factors[..., None, None] if weight.ndim == 4 else factors)
        if layer.kernel != theirs.kernel:
            weight = centred(weight, layer.kernel, layer.kernel)
        tensors["weight"] = weight
        sides = min(layer.kernel, theirs.kernel) ** 2  # the others are padding
        inherited = weight.numel() // layer.kernel**2 * sides
        inherited += tensors["bias"].numel() if "bias" in tensors else 0
        return Beginning(tensors, inherited, ancestor if copied else "")

    def _convolution(self, layer: Layer, passed: Identity) -> dict[str, Tensor]:
        """Return a convolution that passes on each channel (Net2DeeperNet, Chen et al. 2016)."""
        sides = layer.kernel, layer.kernel
        if layer.kind == "depthwise":
            return {"weight": centred(torch.ones(layer.writes.total, 1, 1, 1), *sides)}
        width = passed.channels.total
        out, into = (
            self._maps.index(each, passed.channels) for each in (layer.writes, layer.reads)
        )
        same = numbered(out, width)[:, None] == numbered(into, width)
        factors = self._maps.split(into, len(same), width)
        weight = same.float() if factors is None else same * factors
        return {"weight": centred(weight[..., None, None], *sides)}

    def _norm(self, layer: Layer, passed: Identity) -> dict[str, Tensor]:
        """Return a norm that undoes what it does: its scale and shift are those of what it reads.

        A norm gives each channel the mean `bias` and the deviation `weight`. With a normal
        distribution, rectified, the moments follow.
        """
        if not passed.norms:
            return {}
        out = self._maps.index(layer.writes, passed.channels)
        shifts = [self._tensor(norm, "bias")[out].double() for norm in passed.norms]
        scales = [self._tensor(norm, "weight")[out].double() for norm in passed.norms]
        mean, variance = rectified(
            torch.stack(shifts).sum(dim=0), torch.stack(scales).square().sum(dim=0)
        )
        return {
            "weight": (variance + EPSILON).sqrt(),
            "bias": mean,
            "running_mean": mean,
            "running_var": variance,
        }

    def _tensor(self, layer: str, name: str) -> Tensor:
        return torch.tensor(self._weights[f"{layer}.{name}"])


def rectified(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of max(0, x), where x is normal with these.

    With z = mean / deviation: E = mean Phi(z) + deviation phi(z), and
    E2 = (mean^2 + variance) Phi(z) + mean deviation phi(z).
    """
    deviation = variance.sqrt().clamp(min=1e-12)
    z = mean / deviation
    below, density = ndtr(z), torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    first = mean * below + deviation * density
    second = (mean.square() + variance) * below + mean * deviation * density
    return first, (second - first.square()).clamp(min=0.0)


def centred(kernels: Tensor, height: int, width: int) -> Tensor:
    """Return kernels ``(..., h, w)`` as ``(..., height, width)``, with the same centres.

    Zeros are put around smaller ones; larger ones lose their rim.
    """
    above, left = height - kernels.shape[-2], width - kernels.shape[-1]
    return pad(kernels, (left // 2, left - left // 2, above // 2, above - above // 2))
