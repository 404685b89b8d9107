"""Hands candidates to workers: the way by which one Tune trial serves a stream of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import ray
from ray.util import remove_placement_group
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from phylon.cluster.location import Location
from phylon.cluster.weights import Lender


class _Mailbox:
    def __init__(self) -> None:
        self._boxes: defaultdict[str, asyncio.Queue[list[Any]]] = defaultdict(asyncio.Queue)
        self._closed = asyncio.Event()
        self._lender = Lender()
        self._rooms: dict[str, PlacementGroup] = {}

    async def put(self, worker: str, letters: list[Any]) -> None:
        """Hand a worker its next candidates; none end it."""
        await self._boxes[worker].put(letters)

    async def take(self, worker: str) -> list[Any]:
        """Wait for the worker's next candidates."""
        return [] if self._closed.is_set() else await self._boxes[worker].get()

    async def lend(self, study: Location, candidate_id: int, lost: str) -> tuple[Any] | str:
        """Return a reference to published weights, or why there are none; see `Lender`."""
        return await self._lender.lend(study, candidate_id, lost)

    async def offer(self, candidate_id: int, references: list[Any], nbytes: int) -> None:
        """Take the reference to weights that a worker has published."""
        self._lender.hold(candidate_id, references[0], nbytes)

    async def keep(self, team: str, room: PlacementGroup) -> None:
        """Remember what a team holds: Ray gives it back by itself only when the driver ends."""
        self._rooms[team] = room

    async def forget(self, worker: str) -> None:
        """Throw away what is left for a worker that is gone, and let go of what still waits."""
        for name in [name for name in self._boxes if name.partition("/")[0] == worker]:
            self._boxes.pop(name).put_nowait([])
        if worker in self._rooms:
            await self._clear(worker)

    async def close(self) -> None:
        """Tell all workers to give up what they do."""
        self._closed.set()
        for box in self._boxes.values():
            box.put_nowait([])
        for team in list(self._rooms):
            await self._clear(team)

    async def _clear(self, team: str) -> None:
        await asyncio.to_thread(remove_placement_group, self._rooms.pop(team))

    async def closed(self) -> None:
        """Wait until workers should give up."""
        await self._closed.wait()


def start_mailbox() -> ray.actor.ActorHandle[Any]:
    """Start a mailbox on the driver's node; many workers wait for it at once, and it has no CPU."""
    here = ray.get_runtime_context().get_node_id()
    mailbox: Any = ray.remote(_Mailbox).options(
        num_cpus=0,
        max_concurrency=10_000,
        scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
    )
    handle: ray.actor.ActorHandle[Any] = mailbox.remote()
    return handle
