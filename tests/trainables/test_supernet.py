from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from phylon.search import Architecture, Cell, Choice, Float, Integer, Repeat, SearchSpace
from phylon.search.errors import ConfigurationError, SpaceError
from phylon.search.nodes import Block
from phylon.trainables import (
    ImageTask,
    Supernet,
    Task,
    check_shareable,
    macro_space,
    make_elastic,
    nasbench201_space,
)
from phylon.trainables.nasbench201 import CELL

SPACES = {
    "cells": nasbench201_space(cells=1, channels=4),
    "cells of any depth and width": SearchSpace(
        cell=Cell(3, CELL.operations), cells=Integer(1, 3), channels=Choice(2, 6, 4)
    ),
    "macro": macro_space(6, depth=(1, 3), width=(8, 24), kernels=(1, 3, 5), hyperparameters=False),
}
OPTIONS = {*CELL.operations, "plain", "residual", "separable", "projection"}
spaces = pytest.mark.parametrize("name", SPACES)
seeds = st.integers(0, 2**32)


@pytest.fixture(scope="module")
def supernets(bars: ImageTask) -> dict[str, Supernet]:
    """Supernets whose batch norms have met every kind of path."""
    torch.manual_seed(0)
    supernets = {name: bars.supernet(space) for name, space in SPACES.items()}
    for name, supernet in supernets.items():
        for seed in range(10):
            supernet.select(draw(name, seed))
            supernet(pictures())
    return supernets


def draw(name: str, seed: int) -> Architecture:
    return SPACES[name].sample(np.random.default_rng(seed))


def pictures() -> torch.Tensor:
    return torch.randn(4, 1, 6, 6)


def learn(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return what a network makes of pictures in training, and leave gradients of it."""
    network.zero_grad()
    torch.manual_seed(1)  # for dropout
    logits: torch.Tensor = network.train()(images)
    logits.square().sum().backward()
    return logits


def gradients(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return sum and size of what parameters have as gradients, by their stand-alone names."""
    found = {}
    for name, parameter in network.named_parameters():
        if (gradient := parameter.grad) is not None:
            parts = name.removeprefix("network.").split(".")
            plain = ".".join(part for part in parts if part not in OPTIONS)
            assert plain not in found
            found[plain] = torch.stack([gradient.sum(), gradient.norm()])
    return found


@spaces
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_a_network_is_the_path_it_was_extracted_from(
    supernets: dict[str, Supernet], bars: ImageTask, name: str, seed: int
) -> None:
    supernet, architecture, images = supernets[name], draw(name, seed), pictures()
    network = supernet.extract(architecture)
    bars.build(architecture).load_state_dict(network.state_dict())
    with torch.inference_mode():
        expected = supernet.eval()(images)
        torch.testing.assert_close(network.eval()(images), expected, atol=1e-5, rtol=1e-5)


@spaces
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_a_path_learns_as_the_network_does_and_nothing_else_learns(
    supernets: dict[str, Supernet], name: str, seed: int
) -> None:
    supernet, architecture, images = supernets[name], draw(name, seed), pictures()
    network = supernet.extract(architecture)
    expected = learn(network, images)
    torch.testing.assert_close(learn(supernet, images), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(gradients(supernet), gradients(network), atol=1e-3, rtol=1e-3)


@spaces
def test_selecting_copies_nothing(supernets: dict[str, Supernet], name: str) -> None:
    supernet = supernets[name]
    before = {key: tensor.data_ptr() for key, tensor in supernet.state_dict().items()}
    for seed in range(20):
        supernet.select(draw(name, seed))
    assert {key: tensor.data_ptr() for key, tensor in supernet.state_dict().items()} == before


@spaces
def test_an_extracted_network_has_weights_of_its_own(
    supernets: dict[str, Supernet], name: str
) -> None:
    supernet = supernets[name]
    before = {key: tensor.clone() for key, tensor in supernet.state_dict().items()}
    network = supernet.extract(draw(name, 0))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert all(torch.equal(before[key], tensor) for key, tensor in supernet.state_dict().items())


@spaces
def test_a_supernet_travels_with_its_path(supernets: dict[str, Supernet], name: str) -> None:
    supernet, images = supernets[name].eval(), pictures()
    copy = pickle.loads(pickle.dumps(supernet))  # noqa: S301
    for seed in range(3):
        supernet.select(draw(name, seed))
        copy.select(draw(name, seed))
        assert torch.equal(copy(images), supernet(images))


def test_paths_share_the_weights_of_what_they_have_in_common(bars: ImageTask) -> None:
    def path(*operations: str) -> Architecture:
        cell = dict(zip(CELL.children, operations, strict=True))
        return Architecture({"cell": cell, "cells": 1, "channels": 4})

    supernet, pooled = bars.supernet(SPACES["cells"]), ["avg_pool_3x3"] * 5
    one, other = path("nor_conv_3x3", *pooled), path("nor_conv_3x3", *["skip_connect"] * 5)
    supernet.select(one)
    learn(supernet, pictures())
    torch.optim.SGD(supernet.parameters(), lr=0.1).step()
    first, second = (supernet.extract(each).state_dict() for each in (one, other))
    weight = "stages.0.cells.0.edges.edge_0_1.1.weight"
    assert torch.equal(first[weight], second[weight])


def test_the_macro_space_can_leave_hyperparameters_out(bars: ImageTask) -> None:
    space = macro_space(6, hyperparameters=False)
    assert {*space.root.children} == {"stages", "activation", "dropout"}
    architecture = space.sample(np.random.default_rng(0))
    module = bars.lightning_module(bars.build(architecture), architecture)
    assert module.learning_rate == ImageTask.learning_rate
    with pytest.raises(ConfigurationError, match="learning_rate, weight_decay cannot be shared"):
        bars.supernet(macro_space(6))


RATE = Float(1e-3, 1e-1)
STAGE = {"pooling": Choice("max"), "depth": Choice(1)}


@pytest.mark.parametrize(
    ("decisions", "told"),
    [
        ({"learning_rate": RATE}, r"learning_rate=Choice\(value\).*hyperparameters: false"),
        ({"cell": Cell(2, ("none",))}, "nothing to share.*cell, cells, channels"),
        ({"cell": Cell(2, ("none", "conv"))}, "no supernet; allowed: a Cell with.*nor_conv_1x1"),
        ({"cell": Block(edge_0_1=Choice("none"))}, "no supernet; allowed: a Cell"),
        ({"channels": RATE}, "channels is Float.*allowed in a supernet: Integer"),
        ({"channels": Choice(4, True)}, "channels is Choice"),
    ],
)
def test_spaces_that_cannot_be_shared_are_refused(
    bars: ImageTask, decisions: dict[str, Any], told: str
) -> None:
    nodes = {**SPACES["cells"].root.children, **decisions}
    with pytest.raises(ConfigurationError, match=told):
        bars.supernet(SearchSpace(nodes))


DENSE = Choice(dense=Block(kernel=Choice(3)))


@pytest.mark.parametrize(
    "stages",
    [
        Choice(1),
        Repeat(Block(**STAGE), 1, 2),
        Repeat(Block(**STAGE, width=Choice(8), block=Choice("plain")), 1, 2),
        Repeat(Block(**STAGE, width=Choice(8), block=DENSE), 1, 2),
    ],
)
def test_stages_of_another_kind_are_refused(bars: ImageTask, stages: Any) -> None:
    nodes = {**SPACES["macro"].root.children, "stages": stages}
    with pytest.raises(ConfigurationError, match="no supernet; allowed: a Repeat of blocks"):
        bars.supernet(SearchSpace(nodes))


def test_one_value_is_no_difference() -> None:
    space = SearchSpace(width=Integer(1, 2), learning_rate=Choice(0.01))
    check_shareable(space, ["width"])


def test_tasks_without_a_supernet_say_so(own: Task) -> None:
    with pytest.raises(ConfigurationError, match=r"OwnTask.*define OwnTask.supernet\(space\)"):
        own.supernet(SearchSpace(width=Integer(1, 2)))


def test_networks_of_another_space_are_refused(bars: ImageTask) -> None:
    with pytest.raises(ConfigurationError, match="does not decide"):
        bars.supernet(SearchSpace(width=Integer(1, 2)))
    supernet = bars.supernet(SPACES["cells"])
    with pytest.raises(SpaceError, match="`channels` is 8"):
        supernet.extract(Architecture({**draw("cells", 0), "channels": 8}))
    with pytest.raises(SpaceError, match="`cell` is missing"):
        supernet.extract(draw("macro", 0))


class Wide(Supernet):
    """A user's own, of two linear layers, if they have the right names and sizes."""

    shares = ("width",)

    def select(self, architecture: Architecture) -> None:
        next(self.network.children()).select(width=architecture["width"])


@pytest.mark.parametrize(
    ("names", "largest", "told"),
    [
        (("one", "two"), 8, None),
        (("two", "one"), 8, r"`one.weight` has shape \(8, 2\).* \(3, 8\) in Wide"),
        (("one", "three"), 8, "Wide has no `two.weight`"),
        (("one", "two"), 4, "width 8"),
    ],
)
def test_weights_are_found_by_their_names(
    names: tuple[str, str], largest: int, told: str | None
) -> None:
    def layers(width: int, names: tuple[str, str] = ("one", "two")) -> nn.Module:
        network = nn.Sequential()
        network.add_module(names[0], nn.Linear(2, width))
        network.add_module(names[1], nn.Linear(width, 3))
        return network

    space = SearchSpace(width=Choice(2, 8))
    build = layers(largest, names)
    supernet = Wide(space, lambda architecture: layers(architecture["width"]), make_elastic(build))
    if told is None:
        narrow = supernet.extract(Architecture({"width": 2}))
        assert [tuple(weight.shape) for weight in narrow.parameters()][:2] == [(2, 2), (2,)]
        return
    with pytest.raises(ConfigurationError, match=told):
        supernet.extract(Architecture({"width": 8}))


def test_a_task_is_pickled_as_before(bars: ImageTask) -> None:
    before = len(pickle.dumps(bars))
    bars.supernet(SPACES["cells"])
    assert len(pickle.dumps(bars)) == before
