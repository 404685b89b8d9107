from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylon.search import (
    Architecture,
    Block,
    Candidate,
    Cell,
    Choice,
    Float,
    Outcome,
    Repeat,
    SearchSpace,
    Strategy,
    make_strategy,
)
from phylon.search.complexity import complexity, most_complex, resize
from phylon.search.errors import ConfigurationError
from phylon.search.pnas import Pnas
from phylon.search.testing_runs import EVERY_NODE

CELL = Cell(5, ("none", "skip_connect", "conv", "pool"))
SPACE = SearchSpace(cell=CELL, tail=Repeat(Choice("a", "b"), 1, 3), lr=Float(1e-3, 1.0, log=True))
NESTED = SearchSpace(
    stages=Repeat(Block(cells=Repeat(CELL, 0, 2), width=Choice(8, 16)), 1, 2),
    head=Choice(plain=Block(), deep=Block(layers=Repeat(Choice(1, 2), 2, 5))),
)


def loss(candidate: Candidate) -> float:
    """Return what is least, 0, with convolutions on all edges and three items ``a``."""
    net = candidate.architecture
    wrong = sum(operation != "conv" for operation in net["cell"].values())
    return float(wrong + 3 - net["tail"].count("a"))


def search(strategy: Strategy, n: int) -> list[Candidate]:
    done = []
    for _ in range(n):
        done += strategy.ask()
        strategy.tell(done[-1], Outcome((loss(done[-1]),)))
    return done


def test_complexity_counts_what_could_be_left_out() -> None:
    edges = dict.fromkeys((f"edge_{s}_{t}" for s, t in CELL.edges), "none")
    net = {"cell": {**edges, "edge_0_4": "skip_connect", "edge_0_1": "conv"}, "lr": 0.1}
    assert complexity(SPACE, Architecture({**net, "tail": ["a"]})) == 2
    assert complexity(SPACE, Architecture({**net, "tail": ["a", "b", "a"]})) == 4
    assert most_complex(SPACE) == 10 + 2
    assert most_complex(NESTED) == 1 + 2 * (2 + 2 * 10) + 3
    assert most_complex(SearchSpace(cell=Cell(4, ("conv", "pool")), lr=Float(0, 1))) == 0


@given(st.integers(0, 2**32 - 1), st.data())
def test_architectures_can_be_made_as_complex_as_one_likes(seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    target = data.draw(st.integers(0, most_complex(NESTED)))
    resized = resize(NESTED, NESTED.sample(rng), target, rng)
    NESTED.validate(resized)
    if resized["head"]["type"] == "deep" or target <= most_complex(NESTED) - 3:
        assert complexity(NESTED, resized) == target


def test_resizing_changes_nothing_else() -> None:
    rng = np.random.default_rng(0)
    net = NESTED.sample(rng)
    assert resize(NESTED, net, complexity(NESTED, net), rng) == net
    grown = resize(SPACE, (small := resize(SPACE, SPACE.sample(rng), 3, rng)), 6, rng)
    assert grown["lr"] == small["lr"]
    for edge, operation in small["cell"].items():
        assert operation in ("none", grown["cell"][edge])


def test_levels_rise_and_then_all_are_open() -> None:
    strategy = make_strategy("pnas", SPACE, seed=1, levels=4, beam=10)
    assert isinstance(strategy, Pnas)
    done = search(strategy, 60)
    found = [complexity(SPACE, candidate.architecture) for candidate in done]
    levels = [found[first : first + 10] for first in range(0, 40, 10)]
    assert (max(levels[0]), max(levels[3])) == (3, 12)
    for simpler, level in pairwise(levels):
        assert max(simpler) < min(level)
    assert strategy.level == 4
    for candidate in done[10:40]:
        if candidate.parents:
            (parent,) = candidate.parents
            assert candidate.operator == "grow"
            assert found[parent] < found[candidate.id]
    assert sum(bool(candidate.parents) for candidate in done[10:40]) > 15


def test_the_beam_are_the_best_of_the_simpler_levels() -> None:
    done = search(make_strategy("pnas", SPACE, seed=2, levels=2, beam=20), 40)
    order = sorted(done[:20], key=loss)
    grown = {candidate.parents[0] for candidate in done[20:30] if candidate.parents}
    assert grown
    assert np.mean([loss(done[i]) for i in grown]) < np.mean([loss(each) for each in order])


def test_results_that_are_late_do_not_hold_up_the_levels() -> None:
    strategy = make_strategy("pnas", SPACE, seed=3, levels=3, beam=8)
    found = [complexity(SPACE, candidate.architecture) for candidate in strategy.ask(24)]
    assert max(found[:8]) < min(found[8:16]) <= max(found[8:16]) < min(found[16:])


def test_a_space_without_complexity_has_one_level() -> None:
    strategy = make_strategy("pnas", SearchSpace(a=Float(0, 1), b=Choice(1, 2)), beam=5)
    assert isinstance(strategy, Pnas)
    assert [len(strategy.ask()) and strategy.level for _ in range(7)] == [0, 0, 0, 0, 1, 1, 1]


def test_pnas_beats_random_search() -> None:
    random, found = (
        [min(map(loss, search(make_strategy(name, SPACE, seed=seed), 80))) for seed in range(3)]
        for name in ("random", "pnas")
    )
    assert max(found) < min(random)
    assert np.mean(found) < 0.5 * np.mean(random)


def test_every_kind_of_space_can_be_searched() -> None:
    for space in (EVERY_NODE, NESTED):
        strategy = make_strategy("pnas", space, beam=5)
        for _ in range(30):
            (candidate,) = strategy.ask()
            space.validate(candidate.architecture)
            strategy.tell(candidate, Outcome((candidate.id % 5 / 5,)))


@pytest.mark.parametrize("param", ["levels", "beam"])
def test_wrong_numbers_are_refused(param: str) -> None:
    with pytest.raises(ConfigurationError, match=f"strategy.{param} is 0; allowed: integers from"):
        make_strategy("pnas", SPACE, **{param: 0})
