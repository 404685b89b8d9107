"""The driver: the state machine of a running study, and the only place where order is decided."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence

from phylon import events
from phylon.cluster.executor import Share, Usage
from phylon.config import Final, StudyConfig
from phylon.errors import EvaluationError, SpaceExhausted
from phylon.ledger import Ledger
from phylon.order import Arrival, Order
from phylon.search.candidate import Candidate, Measurement, candidate_seed
from phylon.search.constraint import total_violation
from phylon.search.objective import losses
from phylon.search.strategy import Strategy
from phylon.state import Record

MAX_LOSSES = 3
EXHAUSTED = "every architecture of the space was tried"
OUT_OF_TIME = "the hours are spent"
SPENT = "all candidates were tried"
_NOTHING = Share(cpus=0.0)


class Driver:
    """Runs one study: proposes candidates, takes results, and has both written to the journal.

    It knows no Ray and no MLflow, and is called from one thread. An event is in the journal, by
    `flush`, before anybody else hears of it.

    Args:
        config: What is to be done.
        strategy: Proposes; it must have replayed the history of the ledger's state.
        ledger: Takes events.
        order: When events are taken, and how far ahead proposals may run.
        held: Events that an earlier driver had but could not yet take, see `StrictOrder`.
    """

    def __init__(
        self,
        config: StudyConfig,
        strategy: Strategy,
        ledger: Ledger,
        *,
        order: Order,
        held: Iterable[events.Event] = (),
    ) -> None:
        self.state = state = ledger.state
        self.stop_reason = ""
        self._config = config
        self._strategy = strategy
        self._ledger = ledger
        self._order = order
        self._exhausted = False
        self._dry_after = -1  # ended candidates after which there was nothing to propose
        self._final_started = False
        self._ready: deque[Candidate] = deque()
        self._last = {r.id: (r.step, r.metrics) for r in state.pending.values()}
        for event in held:
            if isinstance(event, Arrival) and event.candidate_id in state.pending:
                self._take(event, is_new=False)
        self._release()
        ended = order.ended()
        self._ready = deque(r.candidate for r in state.pending.values() if r.id not in ended)
        self._start_final_phase()

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to run, now or later."""
        is_busy = self.state.pending or self._ready or self._may_search
        return not is_busy and self._final_started

    @property
    def stopping(self) -> bool:
        """Whether running candidates should be abandoned; they will be resumed later."""
        return bool(self.stop_reason)

    @property
    def end_reason(self) -> str:
        """Why a finished study is at its end."""
        if self._searched >= self._config.budget.candidates:
            return SPENT
        return EXHAUSTED if self._exhausted else OUT_OF_TIME

    def propose(self) -> Candidate | None:
        """Return the next candidate to run, or None if there is none until another result."""
        self._propose_ahead()
        if (
            not self._ready
            and self._may_search
            and self._order.may_propose(self._searched, self.state)
        ):
            self._ask()
        self._start_final_phase()
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
    def _searched(self) -> int:
        return self.state.proposed["search"]

    @property
    def _may_search(self) -> bool:
        hours = self._config.budget.hours
        return (
            self._searched < self._config.budget.candidates
            and not self.state.proposed["final"]
            and self._dry_after != self.state.ended
            and (hours is None or self.state.seconds_at(time.time()) < hours * 3600)
        )

    def _propose_ahead(self) -> None:
        while self._order.is_strict and self._may_search:
            if not self._order.may_propose(self._searched, self.state):
                return
            self._ask()

    def _ask(self) -> None:
        try:
            (candidate,) = self._strategy.ask(1)
        except SpaceExhausted:
            self._dry_after = self.state.ended  # another result may bring promotions
            self._exhausted = not self.state.pending
            return
        self._ledger.take(events.Proposed(candidate=candidate))
        self._ready.append(candidate)

    def _start_final_phase(self) -> None:
        """Propose the trainings of the final phase, or those of them that are missing."""
        if self._final_started or self._ready or self._may_search or self.state.pending:
            return
        self._final_started = True
        final = self._config.final
        if final is None:
            return
        best = self.state.ranking("search")[: final.top]
        repeated = [record for record in best for _ in range(final.seeds)]
        first = self._searched
        batch = [self._retraining(first + i, record, final) for i, record in enumerate(repeated)]
        missing = batch[self.state.proposed["final"] :]
        self._ledger.take(*(events.Proposed(candidate=candidate) for candidate in missing))
        self._ready.extend(missing)

    def _retraining(self, candidate_id: int, record: Record, final: Final) -> Candidate:
        return Candidate(
            id=candidate_id,
            architecture=record.candidate.architecture,
            parents=(record.id,),
            operator="retrain",
            generation=record.candidate.generation + 1,
            phase="final",
            seed=candidate_seed(self._config.seed, candidate_id),
            epochs=final.epochs,
        )

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
            self._propose_ahead()
