"""Hands candidates to running trials: the way by which one trial serves a stream of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from phylon.search.candidate import Candidate


class _Mailbox:
    def __init__(self) -> None:
        self._boxes: defaultdict[str, asyncio.Queue[list[Candidate]]] = defaultdict(asyncio.Queue)
        self._closed = asyncio.Event()

    async def put(self, trial_id: str, candidates: list[Candidate]) -> None:
        """Hand a trial its next candidates; none end it."""
        await self._boxes[trial_id].put(candidates)

    async def take(self, trial_id: str) -> list[Candidate]:
        """Wait for the trial's next candidates."""
        candidates = await self._boxes[trial_id].get()
        if not candidates:
            del self._boxes[trial_id]
        return candidates

    async def close(self) -> None:
        """Tell all workers to give up what they do."""
        self._closed.set()
        for box in self._boxes.values():
            box.put_nowait([])

    async def closed(self) -> None:
        """Wait until workers should give up."""
        await self._closed.wait()


def start_mailbox() -> ray.actor.ActorHandle[Any]:
    """Start a mailbox on the driver's node; it waits for many trials at once and needs no CPU."""
    here = ray.get_runtime_context().get_node_id()
    mailbox: Any = ray.remote(_Mailbox).options(
        num_cpus=0,
        max_concurrency=10_000,
        scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
    )
    handle: ray.actor.ActorHandle[Any] = mailbox.remote()
    return handle
