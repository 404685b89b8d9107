"""The laws of kinship and inheritance, in all spaces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from phylon.search import Architecture, Choice, SearchSpace
from phylon.search.errors import ConfigurationError
from phylon.search.variation import crossover, mutate
from phylon.trainables import Task, darts_space
from phylon.trainables.inherit import inherit
from phylon.trainables.inherit_layers import rectified
from phylon.trainables.nasbench201 import CELL
from tests.trainables.families import (
    MACRO,
    TASK,
    family,
    same_state,
    sampled,
    seeds,
    shapes_of,
    shapes_told,
    weights_of,
)

SPACES = {
    "macro": MACRO,
    "nasbench201": SearchSpace(cell=CELL, cells=Choice(1, 2), channels=Choice(4, 6, 8)),
    "darts": darts_space(nodes=3, cells=3, channels=4),
    "darts of any size": SearchSpace(
        {**darts_space(nodes=2).root.children, "cells": Choice(3, 5), "channels": Choice(3, 4)}
    ),
}
each_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


@each_space
@settings(max_examples=8)
@given(seed=seeds)
def test_every_child_begins_with_something_that_works(space: SearchSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parent = space.sample(rng)
    mate = space.sample(rng)
    child = mutate(space, parent, rng=rng) if seed % 2 else crossover(space, parent, mate, rng=rng)
    heirs = family(parent, child, seed)
    assert 0.0 <= heirs.taken.share <= 1.0
    assert heirs.difference() < float("inf")
    names = dict(heirs.child.named_parameters())
    theirs = heirs.parent.state_dict()
    for ours, before in heirs.taken.unchanged.items():
        assert torch.equal(names[ours], theirs[before])


@each_space
@settings(max_examples=5)
@given(seed=seeds)
def test_the_same_architecture_is_the_same_network(space: SearchSpace, seed: int) -> None:
    parent = sampled(space, seed)
    heirs = family(parent, parent, seed)
    assert heirs.taken.share == 1.0
    assert same_state(heirs.taken.state, heirs.parent.state_dict())
    assert heirs.taken.unchanged == {name: name for name, _ in heirs.child.named_parameters()}


@each_space
@settings(max_examples=8)
@given(seed=seeds)
def test_kinship_tells_all_layers_of_both_networks(space: SearchSpace, seed: int) -> None:
    parent, child = sampled(space, seed), sampled(space, seed + 1)
    kinship = TASK.kinship(parent, child)
    assert shapes_told(kinship.parent) == shapes_of(TASK.build(parent))
    assert shapes_told(kinship.child) == shapes_of(TASK.build(child))
    assert kinship.descent.keys() <= kinship.child.keys()


@each_space
def test_what_is_drawn_depends_on_the_seed_alone(space: SearchSpace) -> None:
    parent, child = sampled(space, 1), sampled(space, 2)
    weights, network = weights_of(TASK.build(parent)), TASK.build(child)
    kinship = TASK.kinship(parent, child)
    before, fresh = torch.get_rng_state(), weights_of(network)
    once, again = (inherit(weights, network, kinship, seed=5).state for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert same_state(once, again)
    after = weights_of(network)
    assert all(np.array_equal(after[name], fresh[name]) for name in fresh)


def test_another_seed_copies_other_channels() -> None:
    parent, child = (sampled(SPACES["nasbench201"], 1, channels=each) for each in (4, 6))
    weights, kinship = weights_of(TASK.build(parent)), TASK.kinship(parent, child)
    one, other = (inherit(weights, TASK.build(child), kinship, seed).state for seed in (5, 6))
    assert torch.equal(one["stem.0.weight"][:4], other["stem.0.weight"][:4])
    assert not torch.equal(one["stem.0.weight"][4:], other["stem.0.weight"][4:])


def test_networks_of_other_spaces_are_no_kin() -> None:
    parent, child = sampled(SPACES["darts"], 1), sampled(SPACES["macro"], 1)
    with pytest.raises(ConfigurationError, match=r"of macro_space cannot .* from one of darts_sp"):
        TASK.kinship(parent, child)


def test_tasks_match_by_name_unless_they_know_better() -> None:
    assert Task.kinship(TASK, Architecture({"a": 1}), Architecture({"a": 2})) is None


def test_mean_and_variance_of_what_is_rectified() -> None:
    means, deviations = torch.tensor([-2.0, -0.3, 0.0, 1.5]), torch.tensor([1.0, 0.5, 2.0, 0.0])
    drawn = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0)) * deviations + means
    mean, variance = rectified(means, deviations.square())
    torch.testing.assert_close(mean, drawn.relu().mean(dim=0), rtol=0.02, atol=0.005)
    torch.testing.assert_close(variance, drawn.relu().var(dim=0), rtol=0.05, atol=0.005)
