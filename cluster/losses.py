"""Why a worker is gone, and whether a candidate may have done it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayTaskError

from phylon.search.errors import ClusterError


class KilledForMemory(RayActorError):  # noqa: N818 - what happened to the worker
    """Ray killed a worker because its node ran out of memory."""


class TeamLost(Exception):  # noqa: N818 - what happened to the team
    """A worker of a team is gone, so the others are of no use.

    Args:
        error: What Ray raised.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


@contextmanager
def surviving_memory_kills() -> Iterator[None]:
    """Let Ray Tune lose a worker to Ray's memory monitor as it loses others.

    Ray 2.60 raises `OutOfMemoryError` then, which is no `RayActorError`; Tune does not expect it
    and ends with all that runs.
    """
    original = RayActorManager._actor_task_failed

    def mended(
        self: RayActorManager,
        tracked_actor_task: Any,  # noqa: ANN401
        exception: Exception,
    ) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = KilledForMemory(error_msg=str(exception))
        original(self, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = mended  # type: ignore[method-assign]
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = original  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class Loss:
    """What is known of a worker's end.

    Attributes:
        reason: In one line.
        is_innocent: Whether its candidate has nothing to do with it.
        out_of_memory: Whether Ray killed it because its node ran out of memory.
        is_at_start: Whether it ended before it could take a candidate.
    """

    reason: str
    is_innocent: bool = False
    out_of_memory: bool = False
    is_at_start: bool = False


def explain(error: Exception | None, *, has_come: bool, node_lives: bool) -> Loss:
    """Tell from what Ray raised why a worker is gone.

    A node that vanishes is noticed later than that its worker does not answer any more: a worker
    that may still be there is not said to have been killed by its candidate.

    Args:
        error: What Ray raised.
        has_come: Whether it was ready for candidates.
        node_lives: Whether its node, or all nodes of a team, are still part of the cluster.

    Raises:
        ClusterError: Not the worker is gone, but what hands out candidates.
    """
    loss = Loss("its worker died") if has_come else Loss("it dies as it starts", is_at_start=True)
    if not node_lives:
        return Loss("its node died", is_innocent=True)
    match error:
        case RayTaskError(cause=TeamLost(error=RayActorError() as inner)):
            return explain(inner, has_come=has_come, node_lives=True)
        case RayTaskError(cause=TeamLost(error=inner)):
            return Loss(str(inner).strip().splitlines()[-1], is_at_start=not has_come)
        case RayTaskError(cause=RayActorError()):  # the only actor that a worker asks
            raise ClusterError(
                "the mailbox, a process on the driver's node that hands out candidates, died; "
                "perhaps that node ran out of memory; resume the study"
            )
        case KilledForMemory():
            reason = "its worker was killed when its node ran out of memory"
            loss = Loss(reason, out_of_memory=True, is_at_start=not has_come)
        case ActorUnavailableError():
            loss = Loss("its node does not answer", is_innocent=True)
        case RayActorError(preempted=True):
            loss = Loss("its node was taken away", is_innocent=True)
        case RayActorError(actor_init_failed=True) | RayTaskError():
            reason = str(error).strip().splitlines()[-1]
            loss = Loss(reason, is_at_start=isinstance(error, RayActorError))
    return loss
