from __future__ import annotations

import numpy as np
import pytest

from phylon.search import Architecture
from phylon.trainables import describe, macro_space
from phylon.trainables.nasbench201 import from_string


def test_networks_of_the_macro_space_are_told_stage_by_stage() -> None:
    first = {"type": "residual", "kernel": 3}, {"type": "separable", "kernel": 5}
    architecture = Architecture(
        {
            "stages": [
                {"block": first[0], "depth": 2, "width": 32, "pooling": "max"},
                {"block": first[1], "depth": 1, "width": 64, "pooling": "stride"},
            ],
            "activation": "relu",
            "dropout": 0.25,
            "learning_rate": 0.0031,
            "weight_decay": 0.0,
        }
    )
    assert describe(architecture) == (
        "2 stages: 2 residual blocks of 32 channels, 3x3, max pool; 1 separable block of 64 "
        "channels, 5x5, stride 2; activation relu, dropout 0.25, learning rate 3.1e-3, "
        "weight decay 0"
    )


@pytest.mark.parametrize(
    ("decisions", "words"),
    [
        ({"width": 64, "lr": 1e-5}, "lr 1.0e-5, width 64"),
        ({"op": {"type": "skip"}, "bias": True}, "bias yes, op skip"),
        ({"op": {"type": "conv", "kernel": 3}}, "op conv (kernel 3)"),
        ({"cells": [{"op": "a"}, {"op": "a"}, {"op": "b"}]}, "3 cells (2 times op a; op b)"),
        ({"stages": []}, "no stages"),
        ({"stages": [3, 4], "scale": 12.5}, "scale 12.5, 2 stages (3; 4)"),
    ],
)
def test_other_networks_are_told_decision_by_decision(
    decisions: dict[str, object], words: str
) -> None:
    assert describe(Architecture(decisions)) == words


def test_cells_are_told_in_the_notation_of_the_benchmark() -> None:
    cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
    assert describe(from_string(cell)) == f"cell {cell}, cells 5, channels 16"
    small = Architecture({"cell": {"edge_0_1": "conv"}, "lr": 0.1})
    assert describe(small) == "cell |conv~0|, lr 0.1"
    assert describe(Architecture({"cell": {"edge_0_2": "conv"}})) == "cell edge 0 2 conv"


def test_different_architectures_are_told_differently() -> None:
    space = macro_space(8)
    drawn = [space.sample(np.random.default_rng(n)) for n in range(50)]
    assert len({describe(architecture) for architecture in drawn}) == 50
