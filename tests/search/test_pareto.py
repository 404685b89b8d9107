import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from phylon.search.errors import ConfigurationError
from phylon.search.pareto import (
    crowding_distances,
    grown,
    hypervolume,
    non_dominated_ranks,
    pareto_front,
)

Rows = NDArray[np.float64]


def tables(most: int = 7) -> st.SearchStrategy[Rows]:
    """Return tables of few small numbers, so that rows and values are often equal."""

    def of_width(m: int) -> st.SearchStrategy[Rows]:
        row = st.lists(st.integers(0, 5).map(float), min_size=m, max_size=m)
        return st.lists(row, max_size=most).map(lambda rows: np.array(rows).reshape(-1, m))

    return st.integers(1, 4).flatmap(of_width)


def dominates(a: Rows, b: Rows) -> bool:
    return bool((a <= b).all() and (a < b).any())


def volume_by_inclusion_and_exclusion(rows: Rows, reference: float) -> float:
    """Return the volume of a union of boxes from those of all their intersections."""
    total = 0.0
    for k in range(1, len(rows) + 1):
        for some in itertools.combinations(rows, k):
            sides = np.maximum(reference - np.max(some, axis=0), 0.0)
            total += (-1) ** (k + 1) * float(np.prod(sides))
    return total


@given(tables())
def test_the_front_is_what_nothing_dominates(rows: Rows) -> None:
    expected = [not any(dominates(other, row) for other in rows) for row in rows]
    assert pareto_front(rows).tolist() == expected


@given(tables())
def test_a_front_that_grows_row_by_row_is_that_of_all_rows(rows: Rows) -> None:
    front = rows[:0]
    for row in rows:
        before, front = front, grown(front, row)
        assert (front is before) == any((other <= row).all() for other in before)
    expected = np.unique(rows[pareto_front(rows)], axis=0) if len(rows) else rows
    np.testing.assert_array_equal(np.unique(front, axis=0), expected)
    assert len(front) == len(expected)


@given(tables())
def test_ranks_are_fronts_peeled_one_by_one(rows: Rows) -> None:
    expected = np.full(len(rows), -1)
    rank = 0
    while (left := np.flatnonzero(expected < 0)).size:
        expected[left[pareto_front(rows[left])]] = rank
        rank += 1
    assert non_dominated_ranks(rows).tolist() == expected.tolist()


@given(tables(), st.sampled_from([3.0, 5.0, 7.0]))
def test_hypervolume_is_that_of_the_union_of_boxes(rows: Rows, reference: float) -> None:
    expected = volume_by_inclusion_and_exclusion(rows, reference)
    assert hypervolume(rows, [reference] * rows.shape[1]) == pytest.approx(expected)


@given(tables())
def test_only_the_front_has_volume(rows: Rows) -> None:
    reference = [6.0] * rows.shape[1]
    assert hypervolume(rows, reference) == hypervolume(rows[pareto_front(rows)], reference)


def test_crowding_is_the_distance_between_neighbours() -> None:
    rows = [[0.0, 10.0], [1.0, 6.0], [2.0, 5.0], [10.0, 0.0]]
    assert crowding_distances(rows) == pytest.approx([np.inf, 0.2 + 0.5, 0.9 + 0.6, np.inf])


def test_twins_add_nothing_to_a_front() -> None:
    rows = [[0.0, 4.0], [1.0, 3.0], [1.0, 3.0], [4.0, 0.0], [4.0, 0.0]]
    assert crowding_distances(rows) == pytest.approx([np.inf, 2.0, 0.0, np.inf, 0.0])
    assert crowding_distances([[1.0, 5.0]] * 3).tolist() == [np.inf, 0.0, 0.0]


@given(tables(), st.floats(0.5, 9.0), st.floats(-9.0, 9.0))
def test_crowding_does_not_hang_on_units(rows: Rows, scale: float, shift: float) -> None:
    assert crowding_distances(rows * scale + shift) == pytest.approx(crowding_distances(rows))


def test_an_objective_in_which_all_are_equal_does_not_count() -> None:
    assert crowding_distances([[0.0, 5.0], [1.0, 5.0], [4.0, 5.0]])[1] == 1.0


def test_losses_must_be_a_table() -> None:
    with pytest.raises(ConfigurationError, match=r"shape \(2,\); allowed: \(rows, objectives\)"):
        pareto_front([1.0, 2.0])
