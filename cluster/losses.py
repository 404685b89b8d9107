"""Why a worker is gone, and whether a candidate may have done it."""

from __future__ import annotations

from dataclasses import dataclass

from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayTaskError


@dataclass(frozen=True, slots=True)
class Loss:
    """What is known of a worker's end.

    Attributes:
        reason: In one line.
        is_innocent: Whether its candidate has nothing to do with it.
        out_of_memory: Whether Ray killed it because its node ran out of memory.
        is_at_start: Whether it raised before it could take a candidate.
    """

    reason: str
    is_innocent: bool = False
    out_of_memory: bool = False
    is_at_start: bool = False


def explain(error: Exception | None, *, node_lives: bool) -> Loss:
    """Tell from what Ray raised why a worker is gone.

    A node that vanishes is noticed later than that its worker does not answer any more: a worker
    that may still be there is not said to have been killed by its candidate.

    Args:
        error: What Ray raised.
        node_lives: Whether its node is still part of the cluster.
    """
    if not node_lives:
        return Loss("its node died", is_innocent=True)
    match error:
        case OutOfMemoryError():
            return Loss("its worker was killed when its node ran out of memory", out_of_memory=True)
        case ActorUnavailableError():
            return Loss("its node does not answer", is_innocent=True)
        case RayActorError(preempted=True):
            return Loss("its node was taken away", is_innocent=True)
        case RayActorError(actor_init_failed=True):
            return Loss(_last_line(error), is_at_start=True)
        case RayTaskError():
            return Loss(_last_line(error))
    return Loss("its worker died")


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
