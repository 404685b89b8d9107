"""The driver: the state machine of a running study, and the only place where order is decided."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from phylon import events
from phylon.agenda import Agenda, early_end
from phylon.budget import spent
from phylon.cluster.executor import Share, Usage
from phylon.config import StudyConfig
from phylon.errors import EvaluationError, SpaceExhausted
from phylon.ledger import Ledger
from phylon.order import Arrival, Order
from phylon.proposer import Proposer
from phylon.scores import Scores
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement
from phylon.search.constraint import total_violation
from phylon.search.objective import losses

MAX_LOSSES = 3
EXHAUSTED = "every architecture of the space was tried"
_NOTHING = Share(cpus=0.0)


def _nothing(supernet: Candidate) -> Sequence[Architecture]:  # noqa: ARG001
    return ()


class Driver:
    """Runs one study: proposes candidates, takes results, and has both written to the journal.

    It knows no Ray and no MLflow, and is called from one thread. An event is in the journal, by
    `flush`, before anybody else hears of it.

    Args:
        config: What is to be done.
        proposer: Proposes; it must have replayed the history of the ledger's state.
        ledger: Takes events.
        order: When events are taken, and how far ahead proposals may run.
        held: Events that an earlier driver had but could not yet take, see `StrictOrder`.
        advise: Says what a trained supernet would have tried first.
    """

    def __init__(
        self,
        config: StudyConfig,
        proposer: Proposer,
        ledger: Ledger,
        *,
        order: Order,
        held: Iterable[events.Event] = (),
        advise: Callable[[Candidate], Sequence[Architecture]] = _nothing,
    ) -> None:
        self.state = state = ledger.state
        self.stop_reason = ""
        self._config = config
        self._proposer = proposer
        self._ledger = ledger
        self._order = order
        self._advise = advise
        self._agenda = Agenda(config, proposer.space)
        self._scores = Scores(proposer.space, state)
        self._exhausted = False
        self._dry_after = -1  # ended candidates after which there was nothing to propose
        self._ready: deque[Candidate] = deque()
        self._last = {r.id: (r.step, r.metrics) for r in state.pending.values()}
        self._follow_up()
        for event in held:
            if isinstance(event, Arrival) and event.candidate_id in state.pending:
                self._take(event, is_new=False)
        self._release()
        ended = order.ended()
        self._ready.clear()
        self._line_up(r.candidate for r in state.pending.values() if r.id not in ended)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to run, now or later."""
        if self.state.pending or self._ready or self._may_search:
            return False
        return not self._agenda.due(self.state, searching=False)

    @property
    def stopping(self) -> bool:
        """Whether running candidates should be abandoned; they will be resumed later."""
        return bool(self.stop_reason)

    @property
    def end_reason(self) -> str:
        """Why a finished study is at its end."""
        if early := early_end(self._config, self.state):
            return early
        return EXHAUSTED if self._exhausted else self._spent or EXHAUSTED

    def propose(self) -> Candidate | None:
        """Return the next candidate to run, or None if there is none until another result."""
        self._propose_ahead()
        self._release()
        while not self._ready and self._propose_next():
            self._release()
        return self._ready.popleft() if self._ready else None

    def observe(self, candidate_id: int, measurement: Measurement) -> None:
        """Take a measurement of a running candidate."""
        self._take(events.Reported(candidate_id=candidate_id, measurement=measurement))
        self._release()

    def complete(self, candidate_id: int, usage: Usage) -> None:
        """Take the end of a candidate that was measured.

        Its result is its last measurement; without every objective, and every metric that is
        constrained, in it the candidate has failed.
        """
        _, metrics = self._last.get(candidate_id, (0, {}))
        try:
            if self.state.records[candidate_id].candidate.phase != "supernet":
                losses(self.state.objectives, metrics)
                total_violation(self.state.constraints, metrics)
        except EvaluationError as error:
            self.fail(candidate_id, str(error), usage)
            return
        self._end(
            events.Completed(
                candidate_id=candidate_id,
                metrics=metrics,
                seconds=usage.seconds,
                resources=usage.share.to_json(),
                node=usage.node,
                peak=usage.peak,
                joules=usage.joules,
            )
        )

    def fail(self, candidate_id: int, reason: str, usage: Usage) -> None:
        """Take the end of a candidate whose evaluation raised."""
        self._end(
            events.Failed(
                candidate_id=candidate_id,
                reason=reason,
                seconds=usage.seconds,
                resources=usage.share.to_json(),
                node=usage.node,
                peak=usage.peak,
                joules=usage.joules,
            )
        )

    def outgrow(self, candidate_id: int, usage: Usage) -> None:
        """Take note that a candidate needs more memory than its share: it runs with more."""
        self._ledger.take(
            events.Outgrew(
                candidate_id=candidate_id,
                resources=usage.share.to_json(),
                node=usage.node,
                peak=usage.peak,
            )
        )
        self._ready.appendleft(self.state.records[candidate_id].candidate)

    def lose(
        self, running: int, waiting: Sequence[int], reason: str, *, innocent: bool = False
    ) -> None:
        """Take note that a candidate's worker is gone: it runs again, unless it killed three.

        Args:
            running: The candidate that the worker was evaluating.
            waiting: Candidates that it was to run next; they run elsewhere.
            reason: What is known of it.
            innocent: Whether it was not the candidate's doing: a node died, or was given back.
        """
        self._ready.extendleft(self.state.records[number].candidate for number in reversed(waiting))
        self._ledger.take(events.Lost(candidate_id=running, reason=reason, innocent=innocent))
        record = self.state.records[running]
        if record.lost >= MAX_LOSSES:
            self.fail(running, f"{reason} ({record.lost} attempts)", Usage(0.0, _NOTHING))
        else:
            self._ready.appendleft(record.candidate)

    def stop(self, reason: str) -> None:
        """Let go of what runs as soon as possible; it will be resumed later."""
        self.stop_reason = reason

    def flush(self) -> None:
        """Return when all that was taken and proposed is on stable storage.

        Raises:
            JournalError: The storage refused.
        """
        self._order.flush()
        self._ledger.flush()

    def record(self, event: events.Event) -> None:
        """Write an event that is about the study as a whole."""
        self._ledger.take(event)
        self.flush()

    @property
    def _may_search(self) -> bool:
        return (
            self._dry_after != self.state.ended
            and self._agenda.may_search(self.state)
            and not self._spent
        )

    @property
    def _spent(self) -> str:
        return spent(self._config.budget, self.state, self.state.seconds_at(time.time()))

    def _propose_ahead(self) -> None:
        while self._order.is_strict and self._propose_next():
            pass

    def _propose_next(self) -> bool:
        """Propose what is due, or else let the strategy propose one; return whether it did."""
        if not self._order.may_propose(len(self.state.records), self.state):
            return False
        searching = self._may_search
        due = self._agenda.due(self.state, searching=searching)
        if not due and searching:
            due = self._asked() or self._agenda.due(self.state, searching=False)
        self._ledger.take(*(events.Proposed(candidate=candidate) for candidate in due))
        self._line_up(due)
        return bool(due)

    def _line_up(self, proposed: Iterable[Candidate]) -> None:
        """Have candidates run, but for those whose score is known."""
        for candidate in proposed:
            if score := self._scores.known(candidate):
                self._order.hold(score, is_new=False)
            else:
                self._ready.append(candidate)

    def _asked(self) -> list[Candidate]:
        try:
            candidate = self._proposer.ask(len(self.state.records))
        except SpaceExhausted:
            self._dry_after = self.state.ended  # another result may bring promotions
            self._exhausted = not self.state.pending
            return []
        return [self._agenda.adapted(candidate, self.state)]

    def _follow_up(self) -> None:
        """Take what follows from results: how well scores rank, and what the search begins with."""
        if judgement := self._agenda.judgement(self.state):
            self._ledger.take(judgement)
            self._exhausted &= not self.state.has_switched  # then there is all to try again
        is_unprimed = self.state.primed is None and not self.state.searched
        if is_unprimed and (start := self._beginning()):
            self._ledger.take(events.Primed(start=list(start)))

    def _beginning(self) -> Sequence[Architecture]:
        """Return the best that was scored, after a switch; before, the advice of the supernet."""
        if self.state.has_switched:
            return self._agenda.best_scored(self.state, max(self._proposer.initial // 2, 1))
        supernet = self.state.supernet
        if supernet is None or supernet.state != "completed":
            return ()
        return self._advise(supernet.candidate)

    def _is_consequential(self, event: Arrival) -> bool:
        is_end = isinstance(event, events.Completed | events.Failed)
        phase = self.state.records[event.candidate_id].candidate.phase
        return is_end and phase in ("supernet", "sample", "probe")

    def _take(self, event: Arrival, *, is_new: bool = True) -> None:
        """Hold an event, unless it repeats a step that an earlier attempt had reported."""
        if isinstance(event, events.Reported):
            measurement = event.measurement
            step, _ = self._last.get(event.candidate_id, (0, {}))
            self._last[event.candidate_id] = (max(step, measurement.step), measurement.metrics)
            if measurement.step <= step:
                return
        self._order.hold(event, is_new=is_new)

    def _end(self, event: events.Completed | events.Failed) -> None:
        self._take(event)
        self._last.pop(event.candidate_id, None)
        self._release()

    def _release(self) -> None:
        while released := self._order.release():
            self._ledger.take(*released)
            self._scores.learn(released)
            if any(self._is_consequential(event) for event in released):
                self._follow_up()
            self._propose_ahead()
