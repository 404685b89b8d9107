"""Who gets workers, of which size, and when: on a simulated cluster, by a made-up clock."""

from __future__ import annotations

import pytest
from ray.exceptions import ActorDiedError, RayActorError

from phylon.cluster.executor import Share
from phylon.errors import ClusterError
from tests.cluster.simulated import Simulation, Study

SMALL, MEDIUM, LARGE = Share(1.0), Share(2.0), Share(4.0)
ONE_NODE = {"a": {"CPU": 8.0}}
TWO_NODES = {"a": {"CPU": 4.0}, "b": {"CPU": 4.0}}


def test_candidates_of_all_sizes_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study([SMALL, SMALL, SMALL, LARGE] * 50, seconds=1.0)
    simulation = Simulation(monkeypatch, study, TWO_NODES)
    simulation.run(120)
    assert sorted(study.completed) == list(range(200))
    assert simulation.started < 30


def test_one_slot_serves_all_sizes_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study([SMALL, LARGE, MEDIUM] * 5, seconds=1.0)
    Simulation(monkeypatch, study, ONE_NODE, slots=1).run(300)
    assert sorted(study.completed) == list(range(15))


def test_a_large_worker_gets_the_node_that_can_be_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study([*[SMALL] * 20, LARGE, *[SMALL] * 300], seconds=1.0)
    simulation = Simulation(monkeypatch, study, TWO_NODES, held={"a": 1.0})
    simulation.run(200)
    assert sorted(study.completed) == list(range(321))
    assert study.completed.index(20) < 200


def test_a_worker_that_others_leave_no_room_for_does_not_hold_up_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = Study([*[SMALL] * 20, LARGE, *[SMALL] * 300], seconds=1.0)
    held = {"a": 1.0, "b": 1.0}
    simulation = Simulation(monkeypatch, study, TWO_NODES, held)
    simulation.run(300)
    assert sorted(study.completed) == [*range(20), *range(21, 321)]
    assert simulation.started < 40
    held.clear()
    simulation.run(60)
    assert study.finished


def test_workers_that_wait_for_others_do_not_make_each_other_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = Study([SMALL] * 100, seconds=1.0)
    simulation = Simulation(monkeypatch, study, TWO_NODES, held={"a": 3.0, "b": 2.0})
    simulation.run(200)
    assert study.finished
    assert simulation.started <= 8


def test_what_waits_for_requested_workers_is_wished_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else others would be given all of the cluster, and never leave."""
    study = Study([SMALL] * 4, seconds=1.0)
    simulation = Simulation(monkeypatch, study, ONE_NODE, held={"a": 8.0})
    simulation.run(30)
    assert simulation.quota.wished == 4


def test_a_dead_node_costs_no_candidate_and_blames_none(monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study([SMALL] * 60, seconds=2.0)
    simulation = Simulation(monkeypatch, study, TWO_NODES)
    simulation.run(10)
    simulation.lose_node("a")
    simulation.run(60)
    assert sorted(study.completed) == list(range(60))
    assert [innocent for _, innocent in study.lost] == [True] * 4


def test_scoring_goes_on_beside_probes_with_the_same_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many probes are proposed in a row, one of their workers takes what room it needs."""
    shares = [*[SMALL] * 40, *[LARGE] * 6, *[SMALL] * 400]
    study = Study(shares, seconds=1.0, probes=range(40, 46))
    simulation = Simulation(monkeypatch, study, ONE_NODE)
    simulation.run(200)
    assert study.finished
    order = study.completed
    assert 4 * 6 <= order.index(45) - order.index(39) <= 5 * 4 * 6 + 8, "four score meanwhile"
    assert simulation.started <= 8 + 1 + 4


@pytest.mark.parametrize("slots", [1, 4])
def test_probes_get_a_slot_of_those_that_score(monkeypatch: pytest.MonkeyPatch, slots: int) -> None:
    """Else the search would be over when it is known whether its scores can be trusted."""
    shares = [*[SMALL] * 40, *[LARGE] * 6, *[SMALL] * 400]
    study = Study(shares, seconds=1.0, probes=range(40, 46))
    simulation = Simulation(monkeypatch, study, ONE_NODE, slots=slots)
    simulation.run(700)
    assert study.finished
    assert study.completed.index(45) < 150
    assert simulation.started <= slots + 1 + slots


def test_the_worker_of_a_phase_that_is_over_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study([Share(8.0), *[SMALL] * 100], seconds=10.0)
    simulation = Simulation(monkeypatch, study, ONE_NODE)
    simulation.run(10 + 3 + 3)
    assert [worker.share for worker in simulation.workers.values()] == [SMALL] * 8
    simulation.run(300)
    assert study.finished
    assert simulation.started == 1 + 8


def end_all(simulation: Simulation, error: Exception) -> None:
    for name in list(simulation.workers):
        simulation.lose(name, error)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ActorDiedError(), "it dies as it starts"),
        (RayActorError(error_msg="a\nImportError: b", actor_init_failed=True), "ImportError: b"),
    ],
)
def test_workers_that_cannot_start_are_given_up_in_the_third_round(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    simulation = Simulation(monkeypatch, Study([SMALL] * 60, seconds=1.0), ONE_NODE)
    for pause in (1.0, 3.0):
        simulation.run(pause)
        end_all(simulation, error)
    simulation.run(5.0)
    assert simulation.started == 24
    end_all(simulation, error)
    with pytest.raises(ClusterError, match=rf"started: {reason} \(3 attempts\)"):
        simulation.run(1.0)
