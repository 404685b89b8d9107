"""Inheritance of weights: what a child's network begins with, of what its parent's had learned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
import torch
from torch import Tensor, nn

from phylon.search.errors import EvaluationError
from phylon.search.evaluation import Weights
from phylon.trainables.inherit_layers import Heir, centred
from phylon.trainables.kinship import Kinship, Layer

State: TypeAlias = dict[str, Tensor]

KERNELS = 4
"""Axes of the weights of a convolution of pictures; the last two are height and width."""


@final
@dataclass(frozen=True, slots=True)
class Inheritance:
    """What a child begins with.

    Attributes:
        state: All of its parameters and buffers, as by `nn.Module.state_dict`.
        share: Of the numbers in its parameters, how many came from the parent, from 0 to 1: copied,
            or split among copies; neither zeros around a kernel nor what passes on its input.
        unchanged: Parameters that are copies of the parent's, by their names in the child, and
            these by their names in the parent.
    """

    state: State
    share: float
    unchanged: Mapping[str, str]


def inherit(weights: Weights, child: nn.Module, kinship: Kinship | None, seed: int) -> Inheritance:
    """Return what a fresh network begins with as a child of a trained one.

    Nothing is drawn from torch's own generator, and neither network is changed.

    Args:
        weights: Parameters and buffers of the parent's network by name.
        child: The child's network; what is new in it stays as it is.
        kinship: Which layers descend from which. Without it tensors descend from those of the same
            name: as far as sizes differ, what is missing at the end of an axis is the child's own,
            and what is too much is left out; kernels ``(b, c, h, w)`` keep their centres.
        seed: Of which channels are copied where a layer is wider, and how weights are split.

    Raises:
        EvaluationError: The weights are not those of the parent's architecture, or not finite, or
            the kinship is not that of this child.
    """
    if kinship is None:
        return _by_name(weights, child)
    _check_shapes(weights, kinship.parent)
    _check_finite(weights, {})
    state = {name: tensor.detach().clone() for name, tensor in child.state_dict().items()}
    inherited, unchanged = 0, {}
    heir = Heir(weights, kinship, seed)
    for name, layer in kinship.child.items():
        beginning = heir.layer(name)
        inherited += beginning.inherited
        _put(state, {f"{name}.{each}": tensor for each, tensor in beginning.tensors.items()})
        if beginning.copied:
            unchanged.update(_same(name, beginning.copied, layer))
    return Inheritance(state, inherited / _size(child), unchanged)


def _put(state: State, tensors: State) -> None:
    for name, tensor in tensors.items():
        expected = state[name].shape if name in state else None
        if tensor.shape != expected:
            raise EvaluationError(
                f"the task's kinship is not that of the child's network: `{name}` is to have "
                f"{_shape(tensor.shape)}, but has {_shape(expected)}; make `kinship` tell the "
                "layers that `build` builds"
            )
        state[name] = tensor.to(state[name].dtype)


def _same(name: str, theirs: str, layer: Layer) -> dict[str, str]:
    """Return the names of a copied layer's parameters, in the child and in the parent."""
    return {f"{name}.{it}": f"{theirs}.{it}" for it in layer.shapes if it in ("weight", "bias")}


def _by_name(weights: Weights, child: nn.Module) -> Inheritance:
    fresh = {name: it for name, it in child.state_dict().items() if isinstance(it, Tensor)}
    _check_finite(weights, fresh)
    state: State = {}
    clones: dict[object, Tensor] = {}
    taken: dict[object, int] = {}
    for name, tensor in fresh.items():
        place = _place(tensor)  # what has two names, has the same value under both
        state[name] = clones.setdefault(place, tensor.detach().clone())
        if name in weights:
            taken[place] = _take(state[name], torch.tensor(weights[name]))
    inherited, unchanged = 0, {}
    for name, parameter in child.named_parameters():
        inherited += taken.get(_place(parameter), 0)
        if name in weights and weights[name].shape == parameter.shape:
            unchanged[name] = name
    return Inheritance(state, inherited / _size(child), unchanged)


def _place(tensor: Tensor) -> object:
    return tensor.data_ptr(), tensor.shape, tensor.stride()


def _take(own: Tensor, given: Tensor) -> int:
    """Write into a tensor what it has in common with another; return how many numbers those are."""
    if own.shape == given.shape:
        own.copy_(given)
        return own.numel()
    if own.ndim != given.ndim or not own.is_floating_point():
        return 0
    sizes = [min(pair) for pair in zip(own.shape, given.shape, strict=True)]
    if own.ndim == KERNELS and own.shape[2:] != given.shape[2:]:
        given = centred(given, *own.shape[2:])
    common = tuple(map(slice, map(min, own.shape, given.shape)))
    own[common] = given[common].to(own)
    return math.prod(sizes)


def _size(network: nn.Module) -> int:
    return max(1, sum(parameter.numel() for parameter in network.parameters()))


def _check_finite(weights: Weights, fresh: State) -> None:
    """Refuse what is not finite, but for masks and the like that a fresh network has as well."""
    for name, array in weights.items():
        if array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        if name in fresh and not fresh[name].isfinite().all():
            continue
        value = array[~np.isfinite(array)].flat[0]
        raise EvaluationError(
            f"the parent's weights are not finite: `{name}` has {value} in it; only finite ones "
            "are inherited"
        )


def _check_shapes(weights: Weights, layers: Mapping[str, Layer]) -> None:
    """Refuse weights that are not those of the layers of the parent."""
    expected = {
        f"{name}.{each}": shape
        for name, layer in layers.items()
        for each, shape in layer.shapes.items()
    }
    for name in sorted({*expected, *weights}):
        found = weights[name].shape if name in weights else None
        if found != expected.get(name):
            raise EvaluationError(
                f"the parent's weights are not those of its architecture: of `{name}` they have "
                f"{_shape(found)}, but it has {_shape(expected.get(name))}; only weights of this "
                "version of the space are inherited"
            )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else f"shape {(*shape,)}"
