"""What studies had reached by when, against values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylon.compare_curves import (
    CPU_HOURS,
    GPU_HOURS,
    HOURS,
    Curve,
    band,
    common_currency,
    common_scale,
    follow,
)
from phylon.state import StudyState
from tests.phylon.compare_story import Result, state

NAN = math.nan
BOTH = [{"metric": "y", "direction": "maximize"}, {"metric": "z", "direction": "minimize"}]


def followed(told: StudyState, *others: StudyState) -> Curve:
    return follow(told, common_scale([told, *others]), CPU_HOURS)


def test_the_best_so_far_counts_failures_and_leaves_out_what_misses_the_constraints() -> None:
    results: list[Result] = [
        None, {"y": 9.0, "size": 7.0}, {"y": 3.0, "size": 1.0}, {"y": 2.0, "size": 1.0}, None,
        {"y": 5.0, "size": 1.0},
    ]  # fmt: skip
    curve = followed(state(results, constraints=[{"metric": "size", "at_most": 5}]))
    np.testing.assert_equal(curve.values, [NAN, NAN, 3, 3, 3, 5])
    np.testing.assert_allclose(curve.costs, [2, 4, 6, 8, 10, 12])


def test_less_is_better_where_it_is_to_be_minimized() -> None:
    goals = [{"metric": "y", "direction": "minimize"}]
    curve = followed(state([3.0, 5.0, 1.0], objectives=goals))
    np.testing.assert_equal(curve.values, [3, 3, 1])
    assert curve.reach(1.5, sign=1) == (3, 6.0)
    assert curve.reach(3.0, sign=1) == (1, 2.0)
    assert curve.reach(0.5, sign=1) == (math.inf, math.inf)


def test_what_was_trained_for_longer_comes_before_what_was_not() -> None:
    fields: list[dict[str, Any]] = [{"epochs": e} for e in (1, 1, 3, 1, 3)]
    curve = followed(state([0.5, 0.9, 0.8, 0.95, 0.85], fields=fields))
    np.testing.assert_equal(curve.values, [0.5, 0.9, 0.8, 0.8, 0.85])


def test_other_phases_cost_but_do_not_count_and_the_final_phase_does_neither() -> None:
    fields: list[dict[str, Any]] = [{"phase": "probe"}, {}, {"phase": "final", "parents": (1,)}]
    curve = followed(state([0.9, 0.5, 0.99], fields=fields))
    np.testing.assert_equal(curve.values, [0.5])
    np.testing.assert_allclose(curve.costs, [4])


def test_hypervolumes_are_shares_of_what_all_dominate_together() -> None:
    # As losses (-y, z). With 100 candidates of which one is far off, the reference point is next
    # to the second worst, and the far one adds nothing.
    first = state([{"y": 1.0, "z": 0.0}, *[{"y": 0.0, "z": 1.0}] * 98, {"y": -50.0, "z": 50.0}],
                  objectives=BOTH)  # fmt: skip
    second = state([{"y": 0.5, "z": 0.5}] * 2, objectives=BOTH)
    scale = common_scale([first, second])
    points = np.array([[-1, 0], *[[0, 1]] * 98, [50, 50], *[[-0.5, 0.5]] * 2])
    reference = np.percentile(points, 99, axis=0)
    np.testing.assert_allclose(scale.reference, reference)
    assert scale.reference_metrics == pytest.approx({"y": -reference[0], "z": reference[1]})
    assert scale.name == "hypervolume"
    everything = (reference[0] + 1) * reference[1]
    np.testing.assert_allclose(follow(first, scale, CPU_HOURS).values, 1.0)
    part = (reference[0] + 0.5) * (reference[1] - 0.5) / everything
    np.testing.assert_allclose(follow(second, scale, CPU_HOURS).values, part)


def test_a_front_grows_by_what_nothing_dominates() -> None:
    corners: list[Result] = [{"y": 0.0, "z": 0.0}, {"y": 1.0, "z": 1.0}, {"y": 2.0, "z": 2.0}]
    worst = state([{"y": -1.0, "z": 3.0}] * 400, objectives=BOTH)
    curve = followed(state([*corners, {"y": 0.5, "z": 1.5}], objectives=BOTH), worst)
    # Under the reference (1, 3): one by three; two by two, half of it new; and one new square.
    np.testing.assert_allclose(curve.values, np.array([3, 5, 6, 6]) / 6)


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [((0.0, 0.0), CPU_HOURS), ((0.5, 1.0), GPU_HOURS), ((0.0, 1.0), HOURS)],
)
def test_costs_are_in_what_all_studies_held(gpus: tuple[float, ...], expected: object) -> None:
    told = [state([1.0], held={"cpus": 2.0, "gpus": each}) for each in gpus]
    currency = common_currency(told)
    assert currency == expected
    cost = currency.cost(told[1].records[0])
    assert cost == pytest.approx({CPU_HOURS: 2.0, GPU_HOURS: gpus[1], HOURS: 1.0}[currency])


@st.composite
def curves(draw: st.DrawFn) -> list[Curve]:
    def one() -> Curve:
        values = np.maximum.accumulate(draw(st.lists(st.integers(0, 5), min_size=1, max_size=9)))
        steps = draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values)))
        lead = [NAN] * draw(st.integers(0, 3))
        costs = np.cumsum([*[1] * len(lead), *steps], dtype=float)
        return Curve(np.array([*lead, *values], dtype=float), costs)

    return [one() for _ in range(draw(st.integers(1, 5)))]


@pytest.mark.parametrize("by_cost", [False, True])
@given(every=curves())
def test_a_band_leaves_nothing_out_but_points_without_a_change(
    by_cost: bool, every: list[Curve]
) -> None:
    axes = [c.costs if by_cost else np.arange(1.0, len(c.values) + 1) for c in every]
    begin = max(at[~np.isnan(c.values)][0] for at, c in zip(axes, every, strict=True))
    end = min(at[-1] for at in axes)
    drawn = band(every, by_cost=by_cost)
    if begin > end:
        assert not len(drawn.at)
        return
    assert (drawn.at[0], drawn.at[-1]) == (begin, end)
    for point in np.arange(begin, end + 0.5, 0.5):
        reached = [c.values[at <= point][-1] for at, c in zip(axes, every, strict=True)]
        place = np.searchsorted(drawn.at, point, side="right") - 1
        shown = (drawn.low[place], drawn.middle[place], drawn.high[place])
        np.testing.assert_allclose(shown, np.percentile(reached, [25, 50, 75]))


def test_a_study_without_a_result_has_no_part_in_the_band() -> None:
    empty = followed(state([None, None]))
    full = followed(state([1.0, 2.0, 3.0]))
    np.testing.assert_equal(band([empty, full], by_cost=False).at, [1, 2, 3])
    assert not len(band([empty], by_cost=True).at)
