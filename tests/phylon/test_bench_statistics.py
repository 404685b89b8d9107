"""The statistics of a bench, against values worked out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylon.bench_statistics import holm, summary, wilcoxon


def test_summary() -> None:
    numbers = summary(np.array([1.0, 2.0, 3.0, 6.0]))
    assert numbers == pytest.approx(
        {"mean": 3.0, "std": 3.5**0.5, "median": 2.5, "q25": 1.75, "q75": 3.75}
    )


def test_wilcoxon_counts_the_signs_that_are_as_extreme() -> None:
    first = np.zeros(6)
    # Ranks 1 to 6; only the least difference is negative, so the smaller rank sum is 1.
    second = np.array([-1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    sums = [sum(r for r in range(1, 7) if signs[r - 1]) for signs in every_sign(6)]
    as_extreme = sum(min(s, 21 - s) <= 1 for s in sums)
    assert as_extreme == 4
    assert wilcoxon(second, first) == pytest.approx(4 / 64)


def every_sign(n: int) -> list[tuple[bool, ...]]:
    return list(itertools.product((False, True), repeat=n))


def test_pairs_without_a_difference_say_nothing() -> None:
    first = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert wilcoxon(first, first) == 1.0
    second = np.array([2.0, 4.0, 6.0, 8.0, 10.0, 12.0])
    same = np.full(20, 7.0)
    padded = wilcoxon(np.concatenate([second, same]), np.concatenate([first, same]))
    assert padded == pytest.approx(wilcoxon(second, first)) == pytest.approx(2 / 64)


def test_equal_differences_are_no_trouble() -> None:
    assert 0 < wilcoxon(np.ones(30), np.zeros(30)) < 1e-6


def test_holm() -> None:
    # Sorted: .01 * 4, .02 * 3, .03 * 2 (raised to the one before), .4 * 1.
    assert holm([0.02, 0.4, 0.01, 0.03]) == pytest.approx([0.06, 0.4, 0.04, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_never_lowers(values: list[float]) -> None:
    corrected = holm(values)
    for a, b in itertools.combinations(range(len(values)), 2):
        if values[a] < values[b]:
            assert corrected[a] <= corrected[b]
    assert all(p <= q <= 1 for p, q in zip(values, corrected, strict=True))
