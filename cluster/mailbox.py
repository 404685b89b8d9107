"""Hands candidates to running trials: the way by which one trial serves a stream of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import ray

from phylon.search.candidate import Candidate


class _Mailbox:
    def __init__(self) -> None:
        self._boxes: defaultdict[str, asyncio.Queue[list[Candidate]]] = defaultdict(asyncio.Queue)

    async def put(self, trial_id: str, candidates: list[Candidate]) -> None:
        """Hand a trial its next candidates; none end it."""
        await self._boxes[trial_id].put(candidates)

    async def take(self, trial_id: str) -> list[Candidate]:
        """Wait for the trial's next candidates."""
        candidates = await self._boxes[trial_id].get()
        if not candidates:
            del self._boxes[trial_id]
        return candidates


Mailbox = ray.remote(num_cpus=0, max_concurrency=10_000)(_Mailbox)
