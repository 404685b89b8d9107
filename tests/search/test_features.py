import math
from collections import defaultdict

import numpy as np
import pytest

from phylon.search import Architecture, Block, Cell, Choice, Float, Integer, Repeat, SearchSpace
from phylon.search.features import Features
from phylon.search.testing_runs import EVERY_NODE

CELL = Cell(4, ("none", "skip_connect", "conv", "pool"))


def test_features_are_equal_for_cells_that_are_the_same_network() -> None:
    space = SearchSpace(cell=CELL)
    features, networks = Features(space), defaultdict[str, set[bytes]](set)
    for net in space.enumerate():
        networks[space.key(net)].add(features(net).tobytes())
    assert all(len(found) == 1 for found in networks.values())
    # The converse need not hold, but features that tell few networks apart would be of no use.
    assert len(set.union(*networks.values())) > 0.95 * len(networks)


def test_dead_edges_do_not_count() -> None:
    space = SearchSpace(cell=CELL)
    alive = CELL.read("|conv~0|+|none~0|none~1|+|none~0|pool~1|none~2|")
    dead = CELL.read("|conv~0|+|none~0|pool~1|+|none~0|pool~1|none~2|")
    other = CELL.read("|conv~0|+|none~0|pool~1|+|none~0|pool~1|conv~2|")
    a, b, c = (Features(space)(Architecture({"cell": each})) for each in (alive, dead, other))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(b, c)


def test_a_cell_is_described_by_its_paths_operations_and_what_feeds_what() -> None:
    cell = Cell(3, ("none", "skip_connect", "conv", "pool"))
    net = Architecture({"cell": cell.read("|conv~0|+|skip_connect~0|pool~1|")})
    found = Features(SearchSpace(cell=cell))(net)
    # Two paths: the input itself, and pool(conv(x)). Sets: none, conv, pool, both.
    paths = np.log1p([1, 1, 1, 2]).tolist()
    longest = [0, 0, 0, 2, 1, 1]
    shortest = [0, 0, 0, 0, 0, 0]
    counts = [1, 1]
    feeds = [0, 1, 0, 0, 0, 1, 1, 0, 1]  # conv to pool, pool to output, input to conv and output
    np.testing.assert_allclose(found, [*paths, *longest, *shortest, *counts, *feeds])


def test_a_cell_without_a_path_has_no_lengths() -> None:
    features = Features(SearchSpace(cell=CELL))
    none = Architecture({"cell": CELL.read("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")})
    found = features(none)
    assert found.shape == features.weights.shape
    assert np.nansum(found) == 0
    assert np.isnan(found).any()


def test_decisions_are_one_hot_or_on_the_unit_scale() -> None:
    space = SearchSpace(act=Choice("a", "b", "c"), lr=Float(1e-4, 1.0, log=True), n=Integer(0, 10))
    found = Features(space)(Architecture({"act": "b", "lr": 0.01, "n": 5}))
    np.testing.assert_allclose(found, [0, 1, 0, 0.5, 0.5])


def test_constants_have_no_columns() -> None:
    space = SearchSpace(a=Choice(5), b=Integer(3, 3), c=Choice("x", "y"))
    assert len(Features(space)(Architecture({"a": 5, "b": 3, "c": "x"}))) == 2


def test_what_is_not_live_is_nan_and_repeats_are_counted_and_averaged() -> None:
    space = SearchSpace(
        block=Choice(plain=Block(), wide=Block(k=Integer(0, 4))), tail=Repeat(Integer(0, 10), 1, 3)
    )
    features = Features(space)
    plain = features(Architecture({"block": {"type": "plain"}, "tail": [5, 10]}))
    wide = features(Architecture({"block": {"type": "wide", "k": 1}, "tail": [2]}))
    nan = math.nan
    np.testing.assert_allclose(plain, [1, 0, nan, 0.5, 0.5, 1.0, nan, 0.75])
    np.testing.assert_allclose(wide, [0, 1, 0.25, 0.0, 0.2, nan, nan, 0.2])


def test_every_decision_weighs_the_same() -> None:
    space = SearchSpace(act=Choice("a", "b", "c"), lr=Float(0, 1), cell=CELL)
    squares = np.square(Features(space).weights)
    assert squares[:3].sum() == pytest.approx(1)  # `act`
    assert squares[3:-1].sum() == pytest.approx(len(CELL.edges))
    assert squares[-1] == 1  # `lr`


def test_all_kinds_of_nodes_have_features_of_one_length() -> None:
    features = Features(EVERY_NODE)
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert features(EVERY_NODE.sample(rng)).shape == features.weights.shape
