"""How well cheap scores rank: laws and known answers."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from phylon.search.rank_correlation import LEAST, rank_correlation

losses = st.integers(-5, 5).map(float)
pairs = st.lists(st.tuples(losses, losses), min_size=LEAST, max_size=20)
distinct = st.lists(st.integers(-50, 50).map(float), min_size=5, max_size=20, unique=True)


@given(pairs)
def test_it_is_the_tau_b_of_scipy(scores: list[tuple[float, float]]) -> None:
    shared, alone = zip(*scores, strict=True)
    expected = kendalltau(shared, alone).statistic
    found = rank_correlation(shared, alone)
    if np.isnan(expected):
        assert (found.kendall_tau, found.low, found.high) == (None, None, None)
    else:
        assert found.kendall_tau == pytest.approx(expected)
        assert -1 <= found.low <= found.high <= 1


@given(distinct)
def test_the_same_order_is_1_and_the_reverse_is_minus_1(alone: list[float]) -> None:
    same = rank_correlation(alone, alone)
    assert (same.kendall_tau, same.low, same.high, same.top_half) == (1, 1, 1, 1)
    reverse = rank_correlation([-each for each in alone], alone)
    assert (reverse.kendall_tau, reverse.low, reverse.high, reverse.top_half) == (-1, -1, -1, -1)


@given(pairs)
def test_only_the_order_of_scores_counts(scores: list[tuple[float, float]]) -> None:
    shared, alone = zip(*scores, strict=True)
    told = rank_correlation(shared, alone)
    assert rank_correlation([each**3 for each in shared], [2 * each + 7 for each in alone]) == told
    assert rank_correlation(shared, alone) == told


@given(pairs, st.randoms())
def test_the_order_of_probes_does_not_count(
    scores: list[tuple[float, float]], random: Random
) -> None:
    told = rank_correlation(*zip(*scores, strict=True))
    random.shuffle(scores)
    again = rank_correlation(*zip(*scores, strict=True))
    assert (again.kendall_tau, again.top_half) == (told.kendall_tau, told.top_half)


def test_the_better_half_is_that_of_stand_alone_training() -> None:
    alone = [1.0, 2.0, 3.0, 4.0, 5.0]  # the better half are the first three
    assert rank_correlation([3, 2, 1, 4, 5], alone).top_half == -1
    assert rank_correlation([1, 2, 3, 5, 4], alone).top_half == 1
    assert rank_correlation([3, 2, 1, 4, 5], alone).kendall_tau == pytest.approx(0.4)
    tied = rank_correlation([1, 2, 3, 4], [1, 2, 2, 3])  # of a tie at the border, all
    assert tied.top_half == pytest.approx(kendalltau([1, 2, 3], [1, 2, 2]).statistic)


@pytest.mark.parametrize(
    ("shared", "alone"), [([], []), ([1], [1]), ([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3])]
)
def test_what_cannot_be_told_is_none(shared: list[float], alone: list[float]) -> None:
    told = rank_correlation(shared, alone)
    assert (told.kendall_tau, told.low, told.high, told.top_half) == (None, None, None, None)
    assert told.probes == len(shared)


def test_few_probes_have_a_wide_interval_and_many_a_narrow_one() -> None:
    def width(probes: int) -> float:
        rng = np.random.default_rng(1)
        alone = rng.normal(size=probes)
        told = rank_correlation(alone + rng.normal(size=probes), alone)
        assert told.low < told.kendall_tau < told.high
        return told.high - told.low

    assert width(8) > 0.7 > 0.5 > width(60)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Of a correlation r of normal scores, tau is 2 / pi * arcsin(r)."""
    rng, hits, studies = np.random.default_rng(0), 0, 100
    truth = 2 / np.pi * np.arcsin(0.6)
    for _ in range(studies):
        alone = rng.normal(size=30)
        told = rank_correlation(0.6 * alone + 0.8 * rng.normal(size=30), alone)
        hits += told.low <= truth <= told.high
    assert hits >= 85
