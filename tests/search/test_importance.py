"""Which decisions matter: on functions of which it is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylon.search import Block, Choice, Float, Integer, Repeat, SearchSpace
from phylon.search.architecture import Architecture
from phylon.search.bootstrap import intervals, mean_interval
from phylon.search.importance import (
    LEAST,
    MOST,
    Importance,
    bearers,
    exchanged,
    importance,
    tabulate,
)

FLAT = SearchSpace(
    big=Choice("a", "b"), small=Choice(1, 2), idle=Float(0.0, 1.0), also_idle=Choice(True, False)
)
TREE = SearchSpace(
    act=Choice("relu", None, True),
    block=Choice(
        plain=Block(kernel=Choice(1, 3)),
        residual=Block(kernel=Choice(5, 7), inner=Choice(x=Block(w=Integer(1, 9)), y=Block())),
    ),
    stages=Repeat(
        Block(depth=Integer(1, 5), pool=Choice(a=Block(s=Integer(2, 3)), b=Block())), 0, 3
    ),
)


def draw(space: SearchSpace, n: int, seed: int = 0) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(n)]


def explain(networks: list[Architecture], losses: list[float]) -> Importance:
    found = importance([each.flat for each in networks], losses)
    assert found is not None
    return found


def shares(found: Importance) -> Mapping[str, float]:
    return {share.of[0]: share.value for share in found.decisions}


def test_shares_of_a_sum_are_those_of_its_variance() -> None:
    networks = draw(FLAT, 300)
    found = explain(networks, [2.0 * (n["big"] == "a") + n["small"] for n in networks])
    assert found.is_telling
    assert found.fit.value > 0.9
    assert [share.of[0] for share in found.decisions[:2]] == ["big", "small"]
    told = shares(found)
    assert told["big"] == pytest.approx(0.8, abs=0.1)
    assert told["small"] == pytest.approx(0.2, abs=0.1)
    assert abs(told["idle"]) < 0.04
    assert abs(told["also_idle"]) < 0.04
    assert all(share.low <= share.value <= share.high for share in found.decisions)
    assert found.pair is not None
    assert abs(found.pair.value) < 0.1


def test_what_two_decisions_do_only_together_is_told() -> None:
    networks = draw(FLAT, 300)
    found = explain(networks, [float((n["big"] == "a") ^ (n["small"] == 1)) for n in networks])
    told = shares(found)
    assert min(told["big"], told["small"]) > 0.7  # neither does anything alone
    assert found.pair is not None
    assert set(found.pair.of) == {"big", "small"}
    assert found.pair.value == pytest.approx(1.0, abs=0.3)
    assert found.pair.low > 0.5


def test_noise_tells_nothing() -> None:
    rng = np.random.default_rng(1)
    telling = [
        explain(draw(FLAT, 50, seed), rng.normal(size=50).tolist()).is_telling for seed in range(3)
    ]
    assert not any(telling)


def test_conditional_decisions_count_where_they_are_live() -> None:
    networks = draw(TREE, 400)
    losses = [float(n.flat.get("block.inner.w", 0)) for n in networks]
    told = shares(explain(networks, losses))
    assert min(told["block.type"], told["block.inner.type"]) > 0.3
    assert told["block.inner.w"] > 0.02
    assert abs(told["stages.count"]) < 0.04
    assert abs(told["act"]) < 0.04


def test_scale_and_outliers_of_losses_do_not_matter() -> None:
    networks = draw(FLAT, 40)
    losses = [2.0 * (n["big"] == "a") + n["small"] + n["idle"] for n in networks]
    stretched = [np.exp(5 * loss) for loss in losses]
    assert explain(networks, losses) == explain(networks, stretched)


def test_equal_results_give_equal_numbers_and_other_seeds_others() -> None:
    networks = draw(FLAT, 25)
    flats, losses = [n.flat for n in networks], [float(n["small"]) + n["idle"] for n in networks]
    assert importance(flats, losses, seed=3) == importance(flats, losses, seed=3)
    assert importance(flats, losses, seed=3) != importance(flats, losses, seed=4)


def test_of_very_many_results_some_are_drawn() -> None:
    networks = draw(SearchSpace(x=Choice(0, 1)), MOST + 100)
    assert explain(networks, [float(n["x"]) for n in networks]).seen == MOST


@pytest.mark.parametrize(
    ("n", "space", "loss"),
    [(LEAST - 1, FLAT, None), (LEAST, FLAT, 0.0), (LEAST, SearchSpace(x=Choice(1)), None)],
    ids=["few", "equal results", "nothing decided"],
)
def test_nothing_is_told_of_too_little(n: int, space: SearchSpace, loss: float | None) -> None:
    networks = draw(space, n)
    losses = [float(place) if loss is None else loss for place in range(n)]
    assert importance([each.flat for each in networks], losses) is None


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.data())
def test_what_is_exchanged_is_a_network_of_the_space(seed: int, data: st.DataObject) -> None:
    networks = draw(TREE, 12, seed)
    names, x = tabulate([each.flat for each in networks])
    decoded: dict[str, dict[float, Any]] = {
        name: {
            x[row, column]: net.flat[name] for row, net in enumerate(networks) if name in net.flat
        }
        for column, name in enumerate(names)
    }
    constant = {k: v for k, v in networks[0].flat.items() if k not in names}
    name = data.draw(st.sampled_from(names))
    live = [row for row in range(12) if name in networks[row].flat]
    own = data.draw(st.sampled_from(live))
    above = [names.index(each) for each in bearers(names, name)]
    alike = [row for row in live if np.array_equal(x[row, above], x[own, above])]
    donor = data.draw(st.sampled_from(alike))
    row = exchanged(names, x[[own]], x[[donor]], name)[0]
    flat = {
        n: decoded[n][value] for n, value in zip(names, row, strict=True) if value in decoded[n]
    }
    made = Architecture.from_flat({**constant, **flat})
    assert made in TREE
    assert made.flat[name] == networks[donor].flat[name]
    if networks[own].flat[name] == networks[donor].flat[name]:
        assert made == networks[own]


def test_intervals_of_few_values_hold_the_mean_as_often_as_they_say() -> None:
    samples = np.random.default_rng(0).normal(size=(400, 5))
    ends = [mean_interval(sample) for sample in samples]
    assert 0.93 <= np.mean([low <= 0.0 <= high for low, high in ends]) <= 0.98
    assert mean_interval([3.0] * 5) == (3.0, 3.0)
    assert np.isfinite(mean_interval([1e200, -1e200, 3.0])).all()


def test_intervals_hold_the_mean_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    samples = rng.exponential(size=(60, 200))  # each column is a sample of its own
    low, high = intervals(samples)
    hits = np.mean((low <= 1.0) & (high >= 1.0))
    assert 0.86 <= hits <= 0.98
    again = intervals(samples)
    assert np.array_equal(low, again[0])
    assert np.array_equal(high, again[1])
