"""Parents with weights as after a training, and their children."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from phylon.search import Architecture, SearchSpace
from phylon.search.evaluation import Weights
from phylon.trainables import ImageTask, Labelled, dataset_from_arrays, macro_space
from phylon.trainables.inherit import Inheritance, inherit
from phylon.trainables.kinship import Kinship, Layer

SIDE = 9
CLASSES = 3
MACRO = macro_space(16, stages=(1, 3), depth=(1, 3), width=(8, 24))

seeds = st.integers(0, 2**32)


def task() -> ImageTask:
    """Return a task of tiny pictures of noise."""
    pictures = np.random.default_rng(0).integers(0, 256, (24, SIDE, SIDE), dtype=np.uint8)
    return ImageTask(dataset_from_arrays(Labelled(pictures, np.arange(24) % CLASSES)), MACRO)


TASK = task()


def sampled(space: SearchSpace, seed: int, **changes: Any) -> Architecture:
    """Draw an architecture, and decide some things otherwise."""
    decisions = space.sample(np.random.default_rng(seed)).nested
    return Architecture({**decisions, **changes})


def weights_of(network: nn.Module) -> Weights:
    """Return what would have been read from a file."""
    weights = {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
    for array in weights.values():
        array.flags.writeable = False  # as in the memory that workers share
    return weights


def trained(architecture: Architecture, seed: int) -> nn.Module:
    """Return a network whose norms have other weights and statistics than a fresh one's."""
    generator = torch.Generator().manual_seed(seed)
    network = TASK.build(architecture)
    for name, tensor in network.state_dict().items():
        if tensor.ndim == 1 and "head" not in name and "linear" not in name:
            spread = 0.5 + torch.rand(tensor.shape, generator=generator)
            positive = name.endswith(("weight", "running_var"))
            tensor.copy_(spread if positive else spread - 1.0)
        elif tensor.ndim > 1:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) / tensor[0].numel() ** 0.5)
        elif not tensor.ndim:
            tensor.fill_(7)
    return network


@dataclass(frozen=True)
class Family:
    """A parent's network, its child's, and how this began."""

    parent: nn.Module
    child: nn.Module
    kinship: Kinship
    taken: Inheritance

    def difference(self) -> float:
        """Return how far apart the outputs are at most, for outputs of the order of 1."""
        pictures = torch.randn(4, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            ours, theirs = self.child.eval()(pictures), self.parent.eval()(pictures)
        assert ours.isfinite().all()
        return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1.0))


def family(parent: Architecture, child: Architecture, seed: int) -> Family:
    """Return a trained network and its child, which has loaded what it inherited."""
    theirs, ours = trained(parent, seed), TASK.build(child)
    kinship = TASK.kinship(parent, child)
    taken = inherit(weights_of(theirs), ours, kinship, seed)
    ours.load_state_dict(taken.state)
    return Family(theirs, ours, kinship, taken)


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes that a network has."""
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def shapes_told(layers: Mapping[str, Layer]) -> dict[str, tuple[int, ...]]:
    """Return the shapes that its kinship tells."""
    return {
        f"{name}.{each}": shape
        for name, layer in layers.items()
        for each, shape in layer.shapes.items()
    }


def same_state(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two states are equal in all bits."""
    return one.keys() == other.keys() and all(torch.equal(one[each], other[each]) for each in one)
