"""What operators gained, on families of which it is known."""

from __future__ import annotations

import pytest
from scipy import stats

from phylon import events
from phylon.operator_gains import LEAST, OperatorGains, operator_gains
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate
from phylon.state import StudyState

CONFIG = {
    "objectives": [
        {"metric": "acc", "direction": "maximize"},
        {"metric": "cost", "direction": "minimize"},
    ],
    "constraints": [{"metric": "cost", "at_most": 100.0}],
}


class Family:
    """A study that grows by one candidate after another."""

    def __init__(self) -> None:
        created = events.Created(uid="u", config=CONFIG, space={}, metrics=["acc", "cost"])
        self.state = StudyState([created])

    def add(self, acc: float | None, parents: tuple[int, ...] = (), **fields: object) -> int:
        """Add a candidate that failed if it has no accuracy."""
        number = len(self.state.records)
        cost = fields.pop("cost", 10.0 * number)
        net = fields.pop("net", number)
        operator = fields.pop("operator", "mutate" if parents else "sample")
        share = {"inherited_share": fields.pop("share")} if "share" in fields else {}
        made = Candidate(number, Architecture({"x": net}), parents, operator, **fields)
        self.state.apply(events.Proposed(candidate=made))
        ended = {"candidate_id": number, "seconds": 1.0}
        if acc is None:
            self.state.apply(events.Failed(reason="no luck", **ended))
        else:
            metrics = {"acc": acc, "cost": cost, **share}
            self.state.apply(events.Completed(metrics=metrics, **ended))
        return number

    def gains(self, objective: int = 0) -> dict[str, OperatorGains]:
        found = operator_gains(self.state, self.state.objectives[objective])
        return {each.operator: each for each in found}


def test_a_child_is_compared_with_the_best_of_its_parents() -> None:
    family = Family()
    low, high = family.add(0.5, cost=20.0), family.add(0.7, cost=30.0)
    family.add(0.8, (low, high), operator="crossover", cost=25.0)
    family.add(0.65, (high,), cost=27.0)
    family.add(0.6, (low,), cost=19.0)
    by_accuracy = family.gains()
    assert set(by_accuracy) == {"crossover", "mutate"}  # what has no parents gains nothing
    assert by_accuracy["crossover"].mean == pytest.approx(0.1)
    mutated = by_accuracy["mutate"]
    assert (mutated.children, mutated.compared, mutated.better) == (2, 2, 1)
    assert mutated.mean == pytest.approx(0.025)
    assert mutated.median == pytest.approx(0.025)
    assert mutated.largest == pytest.approx(0.1)
    by_cost = family.gains(objective=1)
    assert by_cost["crossover"].mean == pytest.approx(-5.0)  # less is better, a gain is more
    assert by_cost["mutate"].mean == pytest.approx((3.0 + 1.0) / 2)


def test_only_what_was_measured_alike_is_compared() -> None:
    family = Family()
    scored = family.add(0.9, epochs=0, inherit_from=0)
    trained = family.add(0.5)
    family.add(0.6, (scored,))  # trained, but its parent was scored
    family.add(0.7, (trained, scored), operator="crossover")
    assert family.gains() == {}
    family.add(0.95, (scored,), epochs=0, inherit_from=0)
    assert family.gains()["mutate"].mean == pytest.approx(0.05)
    assert family.gains()["mutate"].compared == 1


def test_a_parent_that_was_trained_on_counts_as_it_was_before() -> None:
    family = Family()
    first = family.add(0.5, epochs=1)
    promoted = family.add(
        0.9, (first,), epochs=3, operator="promote", continues=first, net=0, cost=1.0
    )
    family.add(0.6, (promoted,), epochs=1)
    gains = family.gains()
    assert set(gains) == {"mutate"}  # a promotion makes no new network
    assert gains["mutate"].mean == pytest.approx(0.1)


def test_failures_and_what_misses_constraints_are_counted_but_not_compared() -> None:
    family = Family()
    parent, infeasible = family.add(0.5), family.add(0.9, cost=1e6)
    family.add(None, (parent,))
    family.add(0.99, (parent,), cost=1e6)
    family.add(0.7, (parent, infeasible), cost=1.0)  # compared with the one that is feasible
    family.add(0.7, (infeasible,), cost=1.0)
    mutated = family.gains()["mutate"]
    assert (mutated.children, mutated.lost, mutated.compared) == (4, 2, 1)
    assert mutated.mean == pytest.approx(0.2)


def test_an_operator_of_which_nothing_can_be_compared_is_told_of_beside_others() -> None:
    family = Family()
    parent = family.add(0.5, cost=1.0)
    for _ in range(3):
        family.add(None, (parent,), operator="grow")
    assert family.gains() == {}
    family.add(0.6, (parent,), cost=1.0)
    grown = family.gains()["grow"]
    assert list(family.gains()) == ["mutate", "grow"]
    assert (grown.children, grown.lost, grown.compared) == (3, 3, 0)
    assert grown.mean is grown.median is grown.largest is None


def test_trainings_of_the_same_network_and_open_candidates_are_left_out() -> None:
    family = Family()
    parent = family.add(0.5)
    family.add(0.9, (parent,), phase="final", operator="retrain", epochs=9, net=0)
    made = Candidate(2, Architecture({"x": 9}), (parent,), "mutate")
    family.state.apply(events.Proposed(candidate=made))
    assert family.gains() == {}


def test_intervals_need_some_children_and_hold_the_mean() -> None:
    family = Family()
    parent = family.add(0.5)
    for place in range(LEAST - 1):
        family.add(0.5 + place / 100, (parent,), cost=1.0)
    assert family.gains()["mutate"].low is None
    family.add(0.6, (parent,), cost=1.0)
    mutated = family.gains()["mutate"]
    known = stats.ttest_1samp([0.0, 0.01, 0.02, 0.03, 0.1], 0.0).confidence_interval()
    assert (mutated.low, mutated.high) == pytest.approx((known.low, known.high))


def test_heirs_are_compared_with_the_parents_whose_training_they_had() -> None:
    family = Family()
    root = family.add(0.5)
    heir = family.add(0.6, (root,), inherit_from=root, cost=1.0)
    family.add(0.8, (heir, root), operator="crossover", inherit_from=heir, cost=1.0)
    family.add(0.65, (heir,), operator="continue", inherit_from=heir, net=heir, cost=1.0)
    gains = family.gains()
    assert gains["mutate"].mean == pytest.approx(0.1)
    assert gains["crossover"].mean == pytest.approx(0.2)
    assert gains["continue"].mean == pytest.approx(0.05)  # what training alone gains


def test_a_child_that_began_afresh_is_compared_with_one_that_had_no_more_training() -> None:
    family = Family()
    root = family.add(0.5)
    heir = family.add(0.6, (root,), inherit_from=root, cost=1.0)
    family.add(0.3, (heir,), inherit_from=heir, share=0.0, cost=1.0)
    assert family.gains()["mutate"].compared == 1
    family.add(0.4, (root,), inherit_from=root, share=0.0, cost=1.0)
    assert family.gains()["mutate"].mean == pytest.approx((0.1 - 0.1) / 2)
