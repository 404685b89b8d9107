from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from phylon.search import Architecture, Cell, Choice, SearchSpace
from phylon.search.errors import ConfigurationError, SpaceError
from phylon.trainables import ImageTask, darts_space
from phylon.trainables.supernet import Supernet

SPACE = darts_space(nodes=3, cells=4, channels=2)


def sample(seed: int) -> Architecture:
    return SPACE.sample(np.random.default_rng(seed))


def of_one_kind(source: int, operation: str) -> Architecture:
    """Both inputs of every node are from one place, by operations with weights of their own."""
    wire = {"source": source, "operation": operation}
    cell = {f"node_{node}": {"left": wire, "right": wire} for node in (2, 3, 4)}
    return Architecture({"normal": cell, "reduction": cell, "cells": 4, "channels": 2})


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    """A supernet whose batch norms have statistics and parameters of their own."""
    from phylon.trainables import digits

    made = digits().supernet(SPACE)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.running_mean)
    return made.eval()


@pytest.mark.parametrize(
    "architecture",
    [*map(sample, range(20)), of_one_kind(1, "sep_conv_3x3"), of_one_kind(0, "skip_connect")],
)
def test_what_is_extracted_does_what_the_path_does(
    supernet: Supernet, architecture: Architecture
) -> None:
    pictures = torch.randn(3, 1, 9, 8)
    alone = supernet.extract(architecture).eval()
    supernet.select(sample(99))
    supernet.select(architecture)
    with torch.no_grad():
        torch.testing.assert_close(alone(pictures), supernet(pictures), rtol=1e-5, atol=1e-5)
    shared = {tensor.data_ptr() for tensor in supernet.state_dict().values()}
    assert not shared & {tensor.data_ptr() for tensor in alone.state_dict().values()}


def test_the_inputs_of_a_node_have_weights_of_their_own(supernet: Supernet) -> None:
    alone = supernet.extract(of_one_kind(1, "sep_conv_3x3"))
    left, right = (
        alone.get_parameter(f"cells.0.nodes.2.{s}.from_1.1.weight") for s in ("left", "right")
    )
    assert not torch.equal(left, right)


def test_only_the_path_learns(supernet: Supernet) -> None:
    architecture = sample(3)
    supernet.zero_grad()
    supernet.select(architecture)
    supernet.train()(torch.randn(4, 1, 8, 8)).sum().backward()
    supernet.eval()
    learning = sum(p.numel() for p in supernet.parameters() if p.grad is not None)
    assert learning == sum(p.numel() for p in supernet.extract(architecture).parameters())


def test_two_spellings_of_a_network_score_alike(supernet: Supernet) -> None:
    nested = sample(5).nested
    for cell in (nested["normal"], nested["reduction"]):
        for node in cell.values():
            node["left"], node["right"] = node["right"], node["left"]
    pictures, logits = torch.randn(3, 1, 8, 8), []
    for architecture in (sample(5), Architecture(nested)):
        supernet.select(architecture)
        logits.append(supernet(pictures))
    assert torch.equal(*logits)


def test_an_architecture_of_another_space_is_refused(supernet: Supernet) -> None:
    larger = darts_space(nodes=4, cells=4, channels=2).sample(np.random.default_rng(0))
    with pytest.raises(SpaceError, match=r"normal\.node_5"):
        supernet.extract(larger)


@pytest.mark.parametrize(
    ("decisions", "told"),
    [
        ({"normal": Cell(3, ("none",))}, "normal is Cell.*no supernet; allowed: a WiredCell"),
        ({"reduction": Choice("x")}, "reduction is Choice.*allowed: a WiredCell"),
        ({"cells": Choice(3, 4)}, "cells cannot be shared"),
    ],
)
def test_spaces_that_cannot_be_shared_are_refused(
    bars: ImageTask, decisions: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        bars.supernet(SearchSpace({**SPACE.root.children, **decisions}))
