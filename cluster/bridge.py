"""Between a study and Ray Tune: which workers there are, and who of them measures what."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import ray
from ray.tune.search import Searcher

from phylon.cluster.attempts import Ended, News
from phylon.cluster.capacity import GIB
from phylon.cluster.executor import Driven, Share, Shares, Usage
from phylon.cluster.line import Line
from phylon.cluster.losses import Loss
from phylon.cluster.quota import Quota
from phylon.cluster.trainable import SHARE
from phylon.search.candidate import Candidate
from phylon.search.errors import ClusterError

T = TypeVar("T")
FINISHED = Searcher.FINISHED

REFRESH_S = 2.0
FLUSH_S = 1.0
IDLE_S = 20.0
"""A worker without a candidate for so long is let go: others may want its room."""
LATE_S = 30.0
"""A worker that has not come by then may lack room that only others of another size can make."""
MAX_BAD_STARTS = 3


@dataclass
class _Worker:
    share: Share
    since: float
    """When it was asked for, or became idle."""
    is_there: bool = False
    is_leaving: bool = False
    running: dict[int, Candidate] = field(default_factory=dict)


class Bridge:
    """The state of a run: the workers, which are Tune trials, and which candidates they have.

    A trial is a worker of a certain size, not a candidate: it is asked for when a candidate of that
    size waits and there is room, and measures one candidate of that size after the other until it
    is let go. All takes constant time, apart from a look at the cluster every other second.

    No exception may leave a Tune hook, it would end the experiment without a word: the first one is
    kept here and ends it in order.

    Args:
        study: Proposes candidates and takes results.
        mailbox: Hands candidates to workers.
        shares: How large a worker each candidate needs.
        quota: How many workers there may be.
    """

    def __init__(
        self, study: Driven, mailbox: ray.actor.ActorHandle[Any], shares: Shares, quota: Quota
    ) -> None:
        self.error: Exception | None = None
        self._study = study
        self._mailbox = mailbox
        self._shares = shares
        self._quota = quota
        self._line = Line(study, shares)
        self._workers: dict[str, _Worker] = {}
        self._idle: defaultdict[Share, dict[str, None]] = defaultdict(dict)
        self._late: set[Share] = set()
        self._bad_starts = 0
        self._not_before = 0.0
        self._closed = False
        self._refreshed = self._flushed = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the experiment is to end."""
        return self.error is not None or self._study.stopping or self._study.finished

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its parts for a restore that is never asked for.

    def should_stop(self) -> bool:
        """Return whether the experiment is to end now; workers are told so. Called all the time."""
        self._guard(self._keep_time)
        if self.is_over and not self._closed:
            self._closed = True
            self._mailbox.close.remote()
        return self.is_over

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the config of a new worker, None for none now, or FINISHED."""
        self._guard(self._keep_time)
        if self.is_over:
            return FINISHED
        share = self._guard(self._wanted)
        if share is None:
            return FINISHED if self.is_over else None
        self._workers[trial_id] = _Worker(share, time.monotonic())
        self._quota.room.book(trial_id, share)
        self._line.requested[share] += 1
        return {SHARE: share}

    def take_news(self, trial_id: str, news: News, node: str, host: str, *, last: bool) -> None:
        """Hand a worker's messages to the study, and the worker its next candidates.

        Args:
            trial_id: The worker.
            news: What its candidates have to say; nothing when it has just come.
            node: Id of its node.
            host: Name of its node.
            last: Whether it goes; what it was measuring is given back.
        """
        self._guard(lambda: self._take_news(trial_id, news, node, host, last=last))

    def lose(self, trial_id: str, loss: Loss) -> None:
        """Tell the study that the worker is gone, and how."""
        self._guard(lambda: self._lose(trial_id, loss))

    def _take_news(self, trial_id: str, news: News, node: str, host: str, *, last: bool) -> None:
        worker = self._workers[trial_id]
        if not worker.is_there:
            self._arrive(trial_id, worker, node)
        for candidate_id, message in news:
            if isinstance(message, Ended):
                candidate = worker.running.pop(candidate_id)
                where = f"{host}/{node[:8]}"
                self._end(candidate, message, Usage(message.seconds, worker.share, where))
            else:
                self._study.observe(candidate_id, message)
        if last:
            self._forget(trial_id)
            self._give_back(list(worker.running), "its worker had to leave")
        elif not worker.running and not worker.is_leaving:
            worker.since = time.monotonic()
            self._idle[worker.share][trial_id] = None
            if self._must_leave(trial_id):
                self._let_go(trial_id)
        self._deal()

    def _arrive(self, trial_id: str, worker: _Worker, node: str) -> None:
        worker.is_there = True
        self._line.requested[worker.share] -= 1
        self._quota.room.locate(trial_id, node)
        self._bad_starts = 0

    def _end(self, candidate: Candidate, message: Ended, usage: Usage) -> None:
        if message.error is None:
            self._line.learn(message.seconds)
            self._shares.learn(candidate, usage, sufficed=True)
            self._study.complete(candidate.id, usage)
        else:
            self._study.fail(candidate.id, message.error, usage)

    def _lose(self, trial_id: str, loss: Loss) -> None:
        worker = self._forget(trial_id)
        if loss.is_at_start:
            self._note_bad_start(loss.reason)
        running = list(worker.running)
        if not running:
            return
        if loss.out_of_memory and self._shares.larger(worker.share):
            self._outgrow(worker.running[running[0]], Usage(0.0, worker.share))
            self._give_back(running[1:], loss.reason)
        else:
            self._study.lose(running[0], running[1:], loss.reason, innocent=loss.is_innocent)
        self._deal()

    def _note_bad_start(self, reason: str) -> None:
        """Let workers that cannot start not be started all the time, or without hope."""
        self._bad_starts += 1
        self._not_before = time.monotonic() + min(2.0**self._bad_starts, 60.0)
        is_hopeless = not any(worker.is_there for worker in self._workers.values())
        if is_hopeless and self._bad_starts >= MAX_BAD_STARTS:
            raise ClusterError(
                f"no worker can be started: {reason} ({self._bad_starts} attempts); mend it on "
                f"the nodes of the cluster"
            )

    def _give_back(self, candidates: list[int], reason: str) -> None:
        if candidates:
            self._study.lose(candidates[0], candidates[1:], reason, innocent=True)

    def _outgrow(self, candidate: Candidate, usage: Usage) -> None:
        self._shares.learn(candidate, usage, sufficed=False)
        if self._shares.larger(usage.share):
            self._study.outgrow(candidate.id, usage)
            return
        gib = usage.share.memory / GIB
        reason = f"infeasible: needs more than the {gib:.3g} GiB of the largest share"
        self._study.fail(candidate.id, reason, usage)

    def _forget(self, trial_id: str) -> _Worker:
        worker = self._workers.pop(trial_id)
        self._idle[worker.share].pop(trial_id, None)
        self._line.requested[worker.share] -= not worker.is_there
        self._quota.room.release(trial_id)
        self._mailbox.forget.remote(trial_id)
        return worker

    def _wanted(self) -> Share | None:
        """Return how large a worker is wanted, if there is room for one more."""
        room = self._quota.room
        if len(self._workers) >= self._quota.slots or time.monotonic() < self._not_before:
            return None
        share = self._line.uncovered()
        if share is None and (room.fits(self._shares.least) or not self._workers):
            share = self._line.ask()
            if share and self._idle[share]:
                self._deal()
                return None
        if share is None:
            return None
        has_its_kind = any(worker.share == share for worker in self._workers.values())
        return share if room.fits(share) or not has_its_kind else None

    def _must_leave(self, trial_id: str) -> bool:
        """Whether an idle worker should make room instead of being served again."""
        others_are_late = bool(self._late - {self._workers[trial_id].share})
        staying = sum(not worker.is_leaving for worker in self._workers.values())
        is_too_many = staying > self._quota.slots
        return is_too_many or others_are_late or self._quota.room.is_overbooked(trial_id)

    def _let_go(self, trial_id: str) -> None:
        worker = self._workers[trial_id]
        worker.is_leaving = True
        del self._idle[worker.share][trial_id]
        self._mailbox.put.remote(trial_id, [])

    def _deal(self) -> None:
        """Hand candidates to idle workers until there is nothing to hand out, or nobody to take."""

    def _guard(self, call: Callable[[], T]) -> T | None:
        if self.error:
            return None
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - raised again when Tune has ended
            self.error = error
            return None
