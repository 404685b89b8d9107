"""How a search goes, in numbers: on known answers."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylon import events
from phylon.growing_front import FIRST, GrowingFront, reference_point
from phylon.mlflow_metrics import WINDOW, distance
from phylon.mlflow_record import STUDY
from phylon.search.pareto import hypervolume
from tests.phylon.mlflow_story import Events, plan_of, values_of


def test_failures_costs_and_pace_are_counted_at_completed_candidates() -> None:
    story = Events()  # each event a second after the last; the first driver opens at 2
    story.run(0, loss=1.0)  # ends at 5
    story.propose(1)
    story.fail(1)  # at 7; it held nothing
    story.run(2, loss=1.0)  # ends at 10
    plan = plan_of(story)
    assert values_of(plan, STUDY, "search/failed") == [(1, 0), (1, 1), (2, 1)]
    pace = [value / 3600 for _, value in values_of(plan, STUDY, "search/candidates_per_hour")]
    assert pace == pytest.approx([1 / 3, 2 / 5, 3 / 8])
    hours = [value for _, value in values_of(plan, STUDY, "cost/cpu_hours")]
    assert hours == pytest.approx([0.5 / 3600, 0.5 / 3600, 1 / 3600])
    assert values_of(plan, STUDY, "cost/gpu_hours")[-1][1] == pytest.approx(0.5 / 3600)


def test_pace_leaves_out_the_time_when_no_driver_ran() -> None:
    story = Events()
    story.run(0, loss=1.0)
    story.tell(events.Interrupted, reason="SIGTERM")
    story.now = 1e6
    story.open()
    story.run(1, loss=1.0)  # ends 3 seconds later
    pace = values_of(plan_of(story), STUDY, "search/candidates_per_hour")
    assert pace[-1][1] / 3600 == pytest.approx(2 / (4 + 3))


def test_utilisation_is_the_share_of_slots_that_had_a_candidate() -> None:
    story = Events(slots=2)  # opens at 2
    story.propose(0)
    story.complete(0, seconds=2.0, loss=1.0)  # ends at 5: 2 of 2 x 3 slot seconds
    story.propose(1)
    story.propose(2)
    story.complete(1, seconds=3.0, loss=1.0)  # ends at 9; candidate 2 is open since 7
    found = [value for _, value in values_of(plan_of(story), STUDY, "search/utilisation")]
    assert found == pytest.approx([2 / 6, (2 + 3 + 2) / 14])


def test_diversity_is_that_of_the_latest_candidates() -> None:
    story = Events()
    for number in range(2 * WINDOW):
        story.propose(number, decisions={"op": "abc"[number % 2] if number < WINDOW else "d"})
        story.complete(number, loss=1.0)
    found = [value for _, value in values_of(plan_of(story), STUDY, "search/diversity")]
    assert found[:2] == pytest.approx([1, 2 / 3])  # there is none of a single one
    assert found[WINDOW - 2] == pytest.approx((WINDOW / 2) ** 2 / (WINDOW * (WINDOW - 1) / 2))
    assert found[-1] == pytest.approx(0)


DECISIONS = st.dictionaries(
    st.sampled_from("abcde"),
    st.none() | st.booleans() | st.integers() | st.floats(-9, 9),
    min_size=1,
)


@given(DECISIONS, DECISIONS)
def test_distance_is_symmetric_and_0_for_equals(one: dict[str, int], other: dict[str, int]) -> None:
    assert distance(one, one) == 0
    assert 0 <= distance(one, other) <= 1
    assert distance(one, other) == pytest.approx(distance(other, one))


LOSSES = st.lists(st.tuples(*[st.integers(-20, 20).map(float)] * 2), min_size=FIRST, max_size=40)


@given(LOSSES)
def test_hypervolume_is_that_of_all_results_within_a_point_that_stays(
    rows: list[tuple[float, float]],
) -> None:
    front, volumes = GrowingFront(), []
    for row in rows:
        front.add(row)
        volumes.append(front.volume)
    reference = reference_point(rows[:FIRST])
    assert volumes[: FIRST - 1] == [0.0] * (FIRST - 1)
    assert volumes[-1] == pytest.approx(hypervolume(rows, reference))
    assert volumes == sorted(volumes)
    assert (np.asarray(rows[:FIRST]) < reference).all()


def test_hypervolume_comes_with_the_point_where_it_ends() -> None:
    story = Events("loss", "size")
    for number in range(FIRST + 2):
        story.run(number, loss=float(number), size=float(10 - number))
    plan = plan_of(story)
    ends = json.loads(plan[STUDY].tags["phylon.reference.hypervolume"])
    assert ends == pytest.approx({"loss": 9.9, "size": 10.9})
    steps = [step for step, _ in values_of(plan, STUDY, "search/hypervolume")]
    assert steps == [FIRST, FIRST + 1, FIRST + 2]
