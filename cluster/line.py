"""Candidates that were proposed and wait for a worker of their size."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping

from phylon.cluster.executor import Driven, Share, Shares
from phylon.search.candidate import Candidate

BATCH_SECONDS = 0.02
MAX_BATCH = 8
"""Evaluations of milliseconds go to a worker a few at a time: a result costs Tune about 5 ms."""


class Line:
    """Lets the study propose, and keeps what no worker is there for yet.

    Args:
        study: Proposes candidates.
        shares: Says how large a worker each one needs.
        requested: How many workers of each size were asked for and have not come yet.
    """

    def __init__(self, study: Driven, shares: Shares, requested: Mapping[Share, int]) -> None:
        self.is_dry = False
        self._study = study
        self._shares = shares
        self._requested = requested
        self._waiting: defaultdict[Share, deque[Candidate]] = defaultdict(deque)
        self._seconds: deque[float] = deque(maxlen=9)

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def ask(self) -> Share | None:
        """Let the study propose one more; return what it needs, None if there is none by now."""
        candidate = self._study.propose()
        self.is_dry = candidate is None
        if candidate is None:
            return None
        share = self._shares.of(candidate)
        self._waiting[share].append(candidate)
        return share

    def uncovered(self) -> list[Share]:
        """Return the sizes that candidates wait for and too few workers were asked for."""
        return [share for share in self._waiting if self._lacks(share)]

    def lacking(self) -> int:
        """Return how many candidates wait for a worker that nobody asked for yet."""
        return sum(map(self._lacks, self._waiting))

    def take(self, share: Share, most_others: int) -> list[Candidate]:
        """Return candidates for an idle worker; the study may propose some for it.

        Args:
            share: What the worker holds.
            most_others: How many candidates that need other workers may be proposed before the
                search for one that needs this worker is given up.
        """
        waiting = self._waiting[share]
        batch = self._batch
        while len(waiting) < batch and self.lacking() - self._lacks(share) < most_others:
            if self.ask() is None:
                break
        taken = [waiting.popleft() for _ in range(min(batch, len(waiting)))]
        if not waiting:
            del self._waiting[share]
        return taken

    def learn(self, seconds: float) -> None:
        """Take note of how long an evaluation took."""
        self._seconds.append(seconds)

    def slow_down(self) -> None:
        """Hand out one candidate at a time until one has gone through.

        Of several, the end of the first may have been on its way when the second killed the worker:
        the first is blamed, but not twice.
        """
        self._seconds.clear()

    def _lacks(self, share: Share) -> int:
        return max(len(self._waiting[share]) - self._requested.get(share, 0), 0)

    @property
    def _batch(self) -> int:
        if not self._seconds:
            return 1
        slowest = max(*self._seconds, BATCH_SECONDS / MAX_BATCH)
        return max(int(BATCH_SECONDS / slowest), 1)
