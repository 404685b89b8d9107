from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from phylon.search import Architecture
from phylon.search.errors import ConfigurationError
from phylon.trainables import build_convnet, macro_space


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    height=st.integers(2, 20),
    width=st.integers(2, 20),
    channels=st.sampled_from([1, 3]),
    classes=st.integers(2, 5),
)
def test_every_architecture_builds_and_trains_on_its_pictures(
    seed: int, height: int, width: int, channels: int, classes: int
) -> None:
    space = macro_space(min(height, width), depth=(1, 2), width=(8, 16))
    architecture = space.sample(np.random.default_rng(seed))
    network = build_convnet(architecture, channels, classes)
    logits = network(torch.randn(2, channels, height, width))
    assert logits.shape == (2, classes)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(("size", "most"), [(2, 1), (7, 2), (8, 3), (28, 4), (1024, 4)])
def test_there_are_never_more_stages_than_halvings(size: int, most: int) -> None:
    space = macro_space(size)
    stages = [len(space.sample(np.random.default_rng(n))["stages"]) for n in range(60)]
    assert set(stages) == set(range(1, most + 1))


@pytest.mark.parametrize("pooling", ["max", "avg", "stride"])
@pytest.mark.parametrize("block", ["plain", "residual", "separable"])
def test_each_stage_halves_the_map_and_sets_its_width(block: str, pooling: str) -> None:
    def stage(width: int) -> dict[str, object]:
        kind = {"type": block, "kernel": 5}
        return {"block": kind, "depth": 2, "width": width, "pooling": pooling}

    architecture = Architecture(
        {"stages": [stage(8), stage(16)], "activation": "gelu", "dropout": 0.0}
    )
    network = build_convnet(architecture, 3, 4)
    shapes = []
    for layer in network:
        if isinstance(layer, nn.AdaptiveAvgPool2d):
            layer.register_forward_hook(lambda _, inputs, __: shapes.append(inputs[0].shape))
    network(torch.randn(2, 3, 8, 12))
    assert shapes == [(2, 16, 2, 3)]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"image_size": 1}, "1 pixels"),
        ({"image_size": 8, "stages": (4, 5)}, "at least 4 stages"),
        ({"image_size": 8, "kernels": (3, 4)}, r"\[4\]"),
        ({"image_size": 8, "depth": (3,)}, "depth"),
    ],
)
def test_impossible_spaces_are_refused(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        macro_space(**settings)
