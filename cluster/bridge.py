"""Between a study and Ray Tune: asks for workers, and hands them candidates."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray
from ray.tune.search import Searcher

from phylon.cluster.attempts import Ended, News
from phylon.cluster.capacity import GIB, living_nodes
from phylon.cluster.crew import Crew, Worker
from phylon.cluster.executor import Driven, Share, Shares, Usage
from phylon.cluster.fairness import UNLIMITED, Quota
from phylon.cluster.line import Line
from phylon.cluster.losses import explain
from phylon.cluster.trainable import SHARE
from phylon.search.candidate import Candidate
from phylon.search.errors import ClusterError

T = TypeVar("T")
FINISHED = Searcher.FINISHED

LOOK_S = 2.0
FLUSH_S = 1.0
MAX_BAD_STARTS = 3


class Bridge:
    """Decides how many workers there are, of which sizes, and who of them measures what.

    A trial of Tune's is a worker, not a candidate: it is asked for when a candidate of its size
    waits and there is room, and measures one such candidate after another until it is let go. All
    takes constant time, apart from a look at the cluster every other second.

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
        self._mailbox: Any = mailbox
        self._shares = shares
        self._quota = quota
        self._crew = Crew(quota.room)
        self._line = Line(study, shares, self._crew.requested)
        self._bad_starts = 0
        self._not_before = self._looked = self._flushed = 0.0
        self._is_closed = False

    @property
    def is_over(self) -> bool:
        """Whether the experiment is to end."""
        return self.error is not None or self._study.stopping or self._study.finished

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its parts for a restore that is never asked for.

    def should_stop(self) -> bool:
        """Return whether the experiment is to end now; workers are told so. Called all the time."""
        if not self.is_over:
            self._guard(self._keep_time)
        if self.is_over and not self._is_closed:
            self._is_closed = True
            self._mailbox.close.remote()
        return self.is_over

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the config of a new worker, None for none now, or FINISHED."""
        if self.is_over:
            return FINISHED
        share = self._guard(self._wanted)
        if share is None:
            return FINISHED if self.is_over else None
        self._crew.ask_for(trial_id, share)
        return {SHARE: share}

    def take_news(
        self, trial_id: str, news: News, nodes: tuple[str, ...], host: str, *, last: bool
    ) -> None:
        """Hand a worker's messages to the study, and the worker its next candidates.

        Args:
            trial_id: The worker.
            news: What its candidates have to say; nothing when it has just come.
            nodes: Id of its node, or of those of a team; none if it goes before all are there.
            host: Name of the first of them.
            last: Whether it goes; what it has not measured is given back.
        """
        self._guard(lambda: self._take_news(trial_id, news, nodes, host, last=last))

    def lose(self, trial_id: str, error: Exception | None) -> None:
        """Tell the study that a worker is gone, with what Ray raised."""
        self._guard(lambda: self._lose(trial_id, error))

    def _take_news(
        self, trial_id: str, news: News, nodes: tuple[str, ...], host: str, *, last: bool
    ) -> None:
        worker = self._crew[trial_id]
        self._crew.welcome(trial_id, nodes)
        self._bad_starts = 0
        for candidate_id, message in news:
            if isinstance(message, Ended):
                candidate = worker.running.pop(candidate_id)
                where = f"{host}/{nodes[0][:8]}"
                usage = Usage(message.seconds, worker.share, where, message.peak, message.joules)
                self._end(candidate, message, usage)
            else:
                self._study.observe(candidate_id, message)
        if last:
            self._remove(trial_id)
            self._give_back(list(worker.running), "its worker had to leave")
        elif not worker.running:
            self._crew.rest(trial_id)
            if self._crew.must_leave(trial_id) or (self._crew.is_full and self._missing):
                self._let_go(trial_id)
        self._deal()

    def _end(self, candidate: Candidate, message: Ended, usage: Usage) -> None:
        if message.error is None:
            self._line.learn(candidate, usage.share, message.seconds)
            self._shares.learn(candidate, usage, sufficed=True)
            self._study.complete(candidate.id, usage)
        elif message.out_of_memory:
            self._outgrow(candidate, usage, message.error)
        else:
            self._study.fail(candidate.id, message.error, usage)

    def _outgrow(self, candidate: Candidate, usage: Usage, error: str) -> None:
        self._shares.learn(candidate, usage, sufficed=False)
        if self._shares.larger(usage.share):
            self._study.outgrow(candidate.id, usage)
            return
        reason = error
        if usage.share.memory:
            gib = usage.share.memory / GIB
            reason = f"infeasible: needs more than the {gib:.3g} GiB of the largest share"
        elif usage.share.gpus:
            reason = f"infeasible: needs more memory than {usage.share.gpus:g} GPUs have"
        self._study.fail(candidate.id, reason, usage)

    def _lose(self, trial_id: str, error: Exception | None) -> None:
        worker = self._remove(trial_id)
        has_come = bool(worker.nodes)
        node_lives = living_nodes().keys() >= set(worker.nodes)
        loss = explain(error, has_come=has_come, node_lives=node_lives)
        if loss.is_at_start:
            self._note_bad_start(loss.reason)
        elif worker.running:
            first, *waiting = worker.running
            self._line.slow_down()
            if loss.out_of_memory and self._shares.larger(worker.share):
                self._outgrow(worker.running[first], Usage(0.0, worker.share), loss.reason)
                self._give_back(waiting, loss.reason)
            else:
                self._study.lose(first, waiting, loss.reason, innocent=loss.is_innocent)
        self._deal()

    def _give_back(self, candidates: Sequence[int], reason: str) -> None:
        if candidates:
            self._study.lose(candidates[0], candidates[1:], reason, innocent=True)

    def _note_bad_start(self, reason: str) -> None:
        """Do not start workers that cannot start over and over, nor at all if none can.

        Several at once count as one: it may have been their node.
        """
        now = time.monotonic()
        if now < self._not_before:
            return
        self._bad_starts += 1
        self._not_before = now + min(2.0**self._bad_starts, 60.0)
        if self._bad_starts >= MAX_BAD_STARTS and not self._crew.is_there:
            raise ClusterError(
                f"no worker can be started: {reason} ({self._bad_starts} attempts); mend it on the "
                f"nodes of the cluster, and resume the study"
            )

    def _remove(self, trial_id: str) -> Worker:
        self._mailbox.forget.remote(trial_id)
        return self._crew.remove(trial_id)

    def _let_go(self, trial_id: str) -> None:
        self._crew.let_go(trial_id)
        self._mailbox.put.remote(trial_id, [])

    @property
    def _most_others(self) -> int:
        """How many candidates may wait for workers of other sizes than those that are idle."""
        return max(len(self._crew) // 2, 1)

    @property
    def _missing(self) -> list[Share]:
        """Return the sizes of probes that there is no worker of, so that one has to make room."""
        return [share for share in self._line.probed() if not self._crew.has(share)]

    def _wanted(self) -> Share | None:
        """Return how large a worker is wanted, if there is room for one more."""
        self._deal()
        crew, room = self._crew, self._quota.room
        if len(crew) >= crew.slots or time.monotonic() < self._not_before:
            return None
        is_room = room.fits(self._shares.least) or not len(crew)
        if is_room and not crew.idle_sizes() and self._line.lacking() < self._most_others:
            self._line.ask()
        for share in [*self._missing, *self._line.uncovered()]:
            if not crew.yields(share) and (room.fits(share) or not crew.has(share)):
                return share
        return None

    def _deal(self) -> None:
        """Hand candidates to idle workers; let go of those for which there will be none."""
        orders: list[tuple[str, list[Candidate]]] = []
        while order := self._next_order():
            self._crew.employ(*order)
            orders.append(order)
        if orders:
            self._study.flush()
        for trial_id, candidates in orders:
            self._mailbox.put.remote(trial_id, candidates)

    def _next_order(self) -> tuple[str, list[Candidate]] | None:
        for share in self._crew.idle_sizes():
            trial_id = self._crew.idle(share)
            if trial_id and (candidates := self._line.take(share, self._most_others)):
                return trial_id, candidates
        return None

    def _look_around(self) -> None:
        """Find out how large the cluster is, and this study's part of it."""
        crew, line = self._crew, self._line
        wanted = crew.busy + len(line) if line.is_dry else UNLIMITED
        crew.slots = self._quota.refresh(crew.mean_bundle(self._shares.least), wanted)
        for trial_id in list(crew.look_around()):
            self._let_go(trial_id)
        self._deal()
        for share in crew.idle_sizes():
            while line.lacking() >= self._most_others and (idle := crew.idle(share)):
                self._let_go(idle)

    def _keep_time(self) -> None:
        """Do what is due from time to time."""
        now = time.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked = now
            self._look_around()
        if now - self._flushed >= FLUSH_S:
            self._flushed = now
            self._study.flush()

    def _guard(self, call: Callable[[], T]) -> T | None:
        if self.error:
            return None
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - raised again when Tune has ended
            self.error = error
            return None
