from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phylon.search import (
    Architecture,
    Block,
    Candidate,
    Cell,
    Choice,
    Float,
    Integer,
    Outcome,
    Repeat,
    SearchSpace,
    Strategy,
    make_strategy,
)
from phylon.search.ensemble import Ensemble
from phylon.search.errors import ConfigurationError
from phylon.search.path_encoding import PATHS, path_encoding, paths
from phylon.search.proposal import Known
from phylon.search.testing_runs import EVERY_NODE

CELL = Cell(4, ("none", "skip_connect", "conv", "pool"))
CELLS = SearchSpace(cell=CELL)
BITS = SearchSpace(bits=Repeat(Choice(0, 1), 16, 16))


def cell(**edges: str) -> Architecture:
    """Return a cell with these operations, and nothing elsewhere."""
    nothing = {f"edge_{source}_{target}": "none" for source, target in CELL.edges}
    return Architecture({"cell": {**nothing, **edges}})


def zeros(candidate: Candidate) -> float:
    return float(16 - sum(candidate.architecture["bits"]))


def search(strategy: Strategy, n: int) -> list[Candidate]:
    """Look for all ones, one candidate after the other."""
    done = []
    for _ in range(n):
        done += strategy.ask()
        strategy.tell(done[-1], Outcome((zeros(done[-1]),)))
    return done


def test_a_path_is_its_operations_without_identities() -> None:
    net = cell(edge_0_1="conv", edge_1_2="skip_connect", edge_2_3="pool", edge_0_3="skip_connect")
    assert paths(CELL, net.nested["cell"]) == {(), ("conv", "pool")}


def test_cells_with_the_same_live_paths_have_the_same_encoding() -> None:
    one = cell(edge_0_1="conv", edge_1_3="pool")
    same = [
        cell(edge_0_2="conv", edge_2_3="pool"),
        cell(edge_0_1="conv", edge_1_3="pool", edge_0_2="pool"),  # leads nowhere
        cell(edge_0_1="conv", edge_1_2="pool", edge_2_3="skip_connect"),
    ]
    other = cell(edge_0_1="pool", edge_1_3="conv")
    encoded = path_encoding(CELLS, one)
    assert encoded.sum() == 1
    for each in same:
        np.testing.assert_array_equal(path_encoding(CELLS, each), encoded)
    assert (path_encoding(CELLS, other) != encoded).sum() == 2


@given(st.integers(0, 2**32 - 1))
def test_equal_networks_have_equal_encodings(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = CELLS.sample(rng), CELLS.sample(rng)
    if CELLS.key(a) == CELLS.key(b):
        np.testing.assert_array_equal(path_encoding(CELLS, a), path_encoding(CELLS, b))


def test_long_paths_of_large_cells_are_left_out() -> None:
    large = Cell(9, ("none", "a", "b", "c", "d"))
    space = SearchSpace(cell=large)
    full = Architecture(
        {"cell": dict.fromkeys(space.sample(np.random.default_rng(0))["cell"], "a")}
    )
    encoded = path_encoding(space, full)
    assert len(encoded) == 1 + 4 + 16 + 64 + 256 <= PATHS
    assert encoded.sum() == 4  # one to four operations in a row; the longest is eight


@given(st.integers(0, 2**32 - 1))
def test_every_space_has_columns_between_0_and_1(seed: int) -> None:
    rng = np.random.default_rng(seed)
    space = SearchSpace(
        {**EVERY_NODE.root.children, "cells": Repeat(CELL, 0, 2), "fixed": Integer(3, 3)}
    )
    a, b = (path_encoding(space, space.sample(rng)) for _ in range(2))
    assert a.shape == b.shape
    assert ((a >= 0) & (a <= 1)).all()


def test_decisions_of_a_branch_not_taken_are_zero() -> None:
    space = SearchSpace(
        block=Choice(plain=Block(), wide=Block(width=Integer(1, 5), lr=Float(0, 1)))
    )
    plain = path_encoding(space, Architecture({"block": {"type": "plain"}}))
    wide = path_encoding(space, Architecture({"block": {"type": "wide", "width": 3, "lr": 0.25}}))
    assert sorted(plain) == [0, 0, 0, 1]
    assert sorted(wide) == [0, 0.25, 0.5, 1]


@pytest.mark.parametrize("n", [60, 600])
def test_an_ensemble_learns_and_doubts_what_it_has_not_seen(n: int) -> None:
    rng = np.random.default_rng(0)
    x, near = (np.hstack([rng.random((size, 2)), np.zeros((size, 1))]) for size in (n, 40))
    ensemble = Ensemble(x, x[:, 0] - x[:, 1], (1, 2))
    told = ensemble.predict(near)
    assert told.shape == (5, 40)
    assert np.abs(told.mean(axis=0) - (near[:, 0] - near[:, 1])).mean() < 0.1
    far = near + np.array([0, 0, 3])
    assert ensemble.predict(far).std(axis=0).mean() > 3 * told.std(axis=0).mean()


def test_an_ensemble_leaves_the_state_of_torch_alone() -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    x = np.eye(4)
    a, b, other = (Ensemble(x, np.arange(4.0), (seed, 3)).predict(x) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - other).max() > 1e-6
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_bananas_finds_what_random_search_does_not() -> None:
    for seed in range(3):
        random, found = (
            min(map(zeros, search(make_strategy(name, BITS, seed=seed), 60)))
            for name in ("random", "bananas")
        )
        assert found == 0 < random


def test_bananas_begins_at_random_then_stays_near_the_best() -> None:
    done = search(make_strategy("bananas", BITS, seed=1, initial=8, batch=8, parents=1), 40)
    assert {candidate.operator for candidate in done[:8]} == {"sample"}
    best = min(done[:8], key=zeros)
    assert {candidate.parents for candidate in done[8:16]} <= {(), (best.id,)}
    assert sum(candidate.parents == (best.id,) for candidate in done[8:16]) > 4


def test_bananas_learns_from_earlier_studies() -> None:
    rng = np.random.default_rng(0)
    nets = [BITS.sample(rng) for _ in range(80)]
    known = [Known(net, ((8 - sum(net["bits"])) / 2,)) for net in nets]

    def first(known: list[Known]) -> float:
        """Return the mean loss of the first proposals that are not of the initial design."""
        strategy = make_strategy("bananas", BITS, seed=0, initial=1)
        strategy.prime(known=known)
        return float(np.mean([zeros(candidate) for candidate in strategy.ask(6)[1:]]))

    assert first(known) < first([]) - 3


@pytest.mark.parametrize("param", ["initial", "batch", "parents"])
@pytest.mark.parametrize("value", [0, 2.5, True])
def test_wrong_numbers_are_refused(param: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"strategy.{param} is {value}; allowed: int"):
        make_strategy("bananas", BITS, **{param: value})
