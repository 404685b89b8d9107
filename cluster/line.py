"""Candidates that were proposed and wait for a worker of their size."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from itertools import islice, takewhile

from phylon.cluster.executor import Driven, Share, Shares
from phylon.search.candidate import Candidate

BATCH_SECONDS = 0.02
SCORING_SECONDS = 1.0
MAX_BATCH = 8
"""Evaluations of milliseconds go to a worker a few at a time: a result costs Tune about 5 ms.

Scorings do so, too, up to a second's worth: they come by the thousand, and a call by way of Ray
takes more bytes than a candidate.
"""


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
        self._probes: Counter[Share] = Counter()
        self._waiting: defaultdict[Share, deque[Candidate]] = defaultdict(deque)
        self._batches: defaultdict[tuple[Share, bool], deque[int]]
        self._batches = defaultdict(lambda: deque(maxlen=9))

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
        self._probes[share] += candidate.phase == "probe"
        return share

    def uncovered(self) -> list[Share]:
        """Return the sizes that candidates wait for and too few workers were asked for."""
        requested = self._requested
        return [share for share, it in self._waiting.items() if len(it) > requested.get(share, 0)]

    def probed(self) -> list[Share]:
        """Return the sizes that probes wait for."""
        return [share for share, count in self._probes.items() if count]

    def lacking(self) -> int:
        """Return how many candidates wait for a worker that nobody asked for yet.

        Probes do not count: the search goes on beside them, so they wait as long as it takes.
        """
        return sum(map(self._lacks, self._waiting))

    def take(self, share: Share, most_others: int) -> list[Candidate]:
        """Return candidates for an idle worker; the study may propose some for it.

        Args:
            share: What the worker holds.
            most_others: How many candidates that need other workers may be proposed before the
                search for one that needs this worker is given up.
        """
        waiting = self._waiting[share]
        while (
            len(waiting) < self._batch(share) and self.lacking() - self._lacks(share) < most_others
        ):
            if self.ask() is None:
                break
        first = islice(waiting, self._batch(share))
        taken = list(takewhile(lambda it: it.is_scored == waiting[0].is_scored, first))
        for _ in taken:
            waiting.popleft()
        self._probes[share] -= sum(candidate.phase == "probe" for candidate in taken)
        if not waiting:
            del self._waiting[share]
        return taken

    def learn(self, candidate: Candidate, share: Share, seconds: float) -> None:
        """Take note of how long an evaluation took, and what was held meanwhile."""
        worth = SCORING_SECONDS if candidate.is_scored else BATCH_SECONDS
        batches = self._batches[share, candidate.is_scored]
        batches.append(int(worth / max(seconds, worth / MAX_BATCH)))

    def slow_down(self) -> None:
        """Hand out one candidate at a time until one has gone through.

        Of several, the end of the first may have been on its way when the second killed the worker:
        the first is blamed, but not twice.
        """
        self._batches.clear()

    def _lacks(self, share: Share) -> int:
        waiting = len(self._waiting[share]) - self._probes[share]
        return max(waiting - self._requested.get(share, 0), 0)

    def _batch(self, share: Share) -> int:
        """Return how many candidates a worker gets at once, if all are of the first one's kind."""
        waiting = self._waiting[share]
        is_scored = bool(waiting) and waiting[0].is_scored
        return max(min(self._batches[share, is_scored], default=1), 1)
