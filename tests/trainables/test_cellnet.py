from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phylon.search import Architecture, Candidate, Cell, Choice, Float, Measurement, SearchSpace
from phylon.search.errors import ConfigurationError
from phylon.trainables import (
    ImageTask,
    LightningEvaluator,
    Training,
    build_cellnet,
    digits,
    nasbench201_space,
)
from phylon.trainables.cellnet import OPERATIONS, GraphCell, Reduction
from phylon.trainables.nasbench201 import CELL, from_string
from phylon.trainables.proxies import PROXIES

GOOD = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|none~2|"
ZERO = "|none~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_3x3~1|nor_conv_1x1~2|"

MIXED = ("nor_conv_3x3", "avg_pool_3x3", "skip_connect")
SKIPS = ("skip_connect", "skip_connect")


def edges(*operations: str) -> str:
    """Write a cell by its operations: 0-1, 0-2, 1-2, 0-3, 1-3, 2-3."""
    names = [f"edge_{source}_{target}" for source, target in CELL.edges]
    return CELL.write(dict(zip(names, operations, strict=True)))


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), side=st.integers(1, 9), channels=st.sampled_from([1, 3]))
def test_every_cell_builds_and_trains_on_pictures_of_any_size(
    seed: int, side: int, channels: int
) -> None:
    space = nasbench201_space(cells=1, channels=4)
    network = build_cellnet(space.sample(np.random.default_rng(seed)), channels, 3)
    logits = network(torch.randn(2, channels, side, side + 2))
    assert logits.shape == (2, 3)
    logits.sum().backward()


@pytest.mark.parametrize(
    ("cell", "params", "mflops"),
    [
        (edges("none", "none", "none", "none", "none", "none"), 73306, 7.78305),
        (edges(*["skip_connect"] * 3, *["avg_pool_3x3"] * 3), 73306, 7.78305),
        (edges(*["nor_conv_3x3"] * 2, "none", *MIXED), 802426, 113.95137),
        (edges(*["skip_connect"] * 2, "nor_conv_3x3", "nor_conv_1x1", *SKIPS), 344346, 47.10465),
        (edges(*["nor_conv_3x3"] * 6), 1531546, 220.11969),
    ],
)
def test_counts_are_those_of_the_benchmark(cell: str, params: int, mflops: float) -> None:
    network = build_cellnet(from_string(cell), 3, 10)
    assert sum(parameter.numel() for parameter in network.parameters()) == params
    # Its `flops` are multiply-accumulates and the last layer's ten biases, in millions.
    macs = PROXIES["macs"](network, torch.zeros(1, 3, 32, 32), torch.zeros(1))
    assert (macs + 10) / 1e6 == pytest.approx(mflops, abs=1e-5)


def blocks(network: torch.nn.Module) -> list[torch.nn.Module]:
    """Return cells and reductions in order."""
    return [each for each in network.modules() if isinstance(each, GraphCell | Reduction)]


def test_widths_and_sizes_of_the_stages() -> None:
    network = build_cellnet(from_string(GOOD, cells=2, channels=8), 1, 3)
    shapes: list[torch.Size] = []
    for layer in blocks(network):
        layer.register_forward_hook(lambda _, __, output: shapes.append(output.shape[1:]))
    network(torch.randn(2, 1, 8, 8))
    cells = [*[(8, 8, 8)] * 2, *[(16, 4, 4)] * 3, *[(32, 2, 2)] * 3]
    assert shapes == cells


def cell_of_network(*operations: str) -> Callable[[torch.Tensor], torch.Tensor]:
    network = build_cellnet(from_string(edges(*operations), cells=1, channels=4), 1, 2)
    return blocks(network.eval())[0]


def test_edges_do_what_they_are_called() -> None:
    maps = torch.randn(2, 4, 6, 6)
    none = ["none"] * 6
    assert torch.equal(cell_of_network(*none[:3], "skip_connect", "none", "none")(maps), maps)
    assert not cell_of_network(*none)(maps).any()
    # 0-1 and 1-3 are identities, and so is 0-3: their sum is twice the input.
    twice = cell_of_network("skip_connect", "none", "none", "skip_connect", "skip_connect", "none")
    assert torch.equal(twice(maps), 2 * maps)
    pooled = cell_of_network(*none[:3], "avg_pool_3x3", "none", "none")(maps)
    assert pooled[0, 0, 0, 0] == pytest.approx(float(maps[0, 0, :2, :2].mean()), abs=1e-6)
    convolved = cell_of_network(*none[:3], "nor_conv_3x3", "none", "none")
    torch.testing.assert_close(convolved(maps), convolved(maps.relu()))  # the ReLU comes first


def test_what_leads_nowhere_is_not_computed() -> None:
    computed = []
    network = build_cellnet(from_string(edges("none", *["nor_conv_3x3"] * 5), 1, 4), 1, 2)
    for name, module in blocks(network)[0].named_modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda *_, name=name: computed.append(name))
    network(torch.randn(2, 1, 8, 8))
    assert [name.split(".")[1] for name in computed] == ["edge_0_2", "edge_0_3", "edge_2_3"]


@pytest.mark.parametrize(("cell", "least", "most"), [(GOOD, 0.95, 1.0), (ZERO, 0.0, 0.2)])
def test_cells_learn_digits(
    evaluate: Callable[..., list[Measurement]], cell: str, least: float, most: float
) -> None:
    candidate = Candidate(0, from_string(cell, cells=1, channels=8), seed=1)
    evaluator = LightningEvaluator(digits(), Training(epochs=5))
    accuracy = evaluate(evaluator, candidate=candidate)[-1].metrics["val_accuracy"]
    assert least <= accuracy <= most


def test_spaces_of_cells_can_decide_hyperparameters_too(
    bars: ImageTask, evaluate: Callable[..., list[Measurement]]
) -> None:
    cell = Cell(3, ("none", "nor_conv_3x3"))
    space = SearchSpace(
        cell=cell, cells=Choice(1), channels=Choice(4), learning_rate=Float(1e-3, 1e-1, log=True)
    )
    architecture = space.sample(np.random.default_rng(0))
    module = bars.lightning_module(bars.build(architecture), architecture)
    assert module.learning_rate == architecture["learning_rate"]
    assert module.weight_decay == ImageTask.weight_decay
    candidate = Candidate(0, architecture)
    evaluator = LightningEvaluator(bars, Training(epochs=1, batch_size=16))
    assert evaluate(evaluator, candidate=candidate)[-1].metrics["params"] > 0


@pytest.mark.parametrize(
    ("decisions", "told"),
    [
        ({"cell": {"edge_0_1": "conv"}, "cells": 1, "channels": 8}, ", ".join(OPERATIONS)),
        ({"cell": {"left": "none"}, "cells": 1, "channels": 8}, "cannot be built"),
        ({"cell": {"edge_0_1": "none"}, "cells": 1}, "does not decide channels"),
        ({"depth": 3}, "does not decide stages, activation, dropout.*nasbench201_space"),
    ],
)
def test_other_architectures_are_refused(
    bars: ImageTask, decisions: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        bars.build(Architecture(decisions))
