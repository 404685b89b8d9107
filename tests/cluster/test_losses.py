"""What Ray raises when a worker is gone, and what is made of it."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
)
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from phylon.cluster.losses import KilledForMemory, Loss, TeamLost, explain, surviving_memory_kills
from phylon.cluster.team import why_lost
from phylon.errors import ClusterError


def tell(error: Exception | None, *, has_come: bool = True, node_lives: bool = True) -> Loss:
    return explain(error, has_come=has_come, node_lives=node_lives)


def raised_by_a_task(cause: Exception) -> Exception:
    """Return what Ray makes of an exception that a worker's own code raised."""
    error = RayTaskError("step", f"Traceback\n{type(cause).__name__}: {cause}", cause)
    return error.as_instanceof_cause()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ActorUnavailableError("away", None), "its node does not answer"),
        (RayActorError(preempted=True), "its node was taken away"),
    ],
)
def test_no_candidate_is_blamed_for_its_node(error: Exception, reason: str) -> None:
    assert tell(error) == Loss(reason, is_innocent=True)
    assert tell(ActorDiedError(), node_lives=False) == Loss("its node died", is_innocent=True)


def test_a_worker_that_died_under_its_candidate_is_its_doing() -> None:
    assert tell(ActorDiedError()) == Loss("its worker died")
    assert tell(None) == Loss("its worker died")
    assert tell(raised_by_a_task(ValueError("odd"))) == Loss("ValueError: odd")


def test_a_worker_that_ends_before_it_has_come_cannot_start() -> None:
    raised = RayActorError(error_msg="Traceback\nImportError: no such", actor_init_failed=True)
    assert tell(raised, has_come=False) == Loss("ImportError: no such", is_at_start=True)
    assert tell(ActorDiedError(), has_come=False) == Loss("it dies as it starts", is_at_start=True)
    killed = tell(KilledForMemory(None, "node full"), has_come=False)
    assert (killed.is_at_start, killed.out_of_memory) == (True, True)


def test_a_team_is_lost_as_its_worker_was() -> None:
    died = raised_by_a_task(TeamLost(ActorDiedError()))
    assert tell(died) == Loss("its worker died")
    assert tell(died, node_lives=False) == Loss("its node died", is_innocent=True)
    away = raised_by_a_task(TeamLost(ActorUnavailableError("away", None)))
    assert tell(away) == Loss("its node does not answer", is_innocent=True)
    unloadable = raised_by_a_task(TeamLost(ImportError("Traceback\nImportError: no such")))
    assert tell(unloadable, has_come=False) == Loss("ImportError: no such", is_at_start=True)


def test_a_team_whose_worker_is_not_heard_of_blames_nobody() -> None:
    """Ray Train tells it from one process to the next."""
    away = WorkerHealthCheckFailedError("silent", ActorUnavailableError("away", None))
    given_up = pickle.loads(pickle.dumps(WorkerGroupError("one failed", {1: away})))  # noqa: S301
    lost = pickle.loads(pickle.dumps(TeamLost(why_lost(given_up))))  # noqa: S301
    assert tell(raised_by_a_task(lost)) == Loss("its node does not answer", is_innocent=True)
    raised = WorkerGroupError("one failed", {1: ValueError("odd")})
    assert why_lost(raised) is raised


def test_without_the_mailbox_nobody_is_to_blame_and_nothing_goes_on() -> None:
    with pytest.raises(ClusterError, match="hands out candidates, died"):
        tell(raised_by_a_task(ActorDiedError()))


def test_tune_learns_of_a_worker_that_was_killed_for_memory() -> None:
    """Ray Tune itself would end the whole experiment."""
    told: list[Exception] = []
    manager: Any = SimpleNamespace(_failed_actor_ids=set(), _cleanup_actor=lambda **_: 0)
    actor = TrackedActor(1)
    task = TrackedActorTask(actor, on_error=lambda _, error: told.append(error))

    def fail() -> None:
        RayActorManager._actor_task_failed(
            manager, tracked_actor_task=task, exception=OutOfMemoryError("full")
        )

    with pytest.raises(RuntimeError, match="unexpected exception"):
        fail()
    with surviving_memory_kills():
        fail()
    (error,) = told
    reason = "its worker was killed when its node ran out of memory"
    assert tell(error) == Loss(reason, out_of_memory=True)
    with pytest.raises(RuntimeError, match="unexpected exception"):
        fail()
