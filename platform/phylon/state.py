"""What a study looks like after a list of events; other projections are made from this one."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from phylon import events
from phylon.record import Record
from phylon.search.constraint import Constraint, total_violation
from phylon.search.evaluation import WEIGHTS_FILE
from phylon.search.objective import Objective, losses
from phylon.spending import Spending


class StudyState:
    """All candidates of a study and how far it is, kept up to date event by event.

    Args:
        history: Events to begin with.
    """

    def __init__(self, history: Iterable[events.Event] = ()) -> None:
        self.created: events.Created | None = None
        self.objectives: tuple[Objective, ...] = ()
        self.constraints: tuple[Constraint, ...] = ()
        self.records: dict[int, Record] = {}
        self.pending: dict[int, Record] = {}
        self.proposed: Counter[str] = Counter()
        self.searched = 0
        """Search candidates that count against the budget: those since a switch, if any."""
        self.spent = Spending()
        """What these have spent."""
        self.training_epochs = 0
        self.completed = 0
        self.failed = 0
        self._tested: events.Tested | None = None
        self.ending: events.Finished | events.Interrupted | None = None
        self.opened: events.Opened | None = None
        self.primed: events.Primed | None = None
        self.ranked: events.Ranked | None = None
        self.seconds = 0.0
        self._opened_at = 0.0
        self._seconds_before = 0.0
        self._resources: dict[tuple[tuple[str, float], ...], dict[str, float]] = {}
        for event in history:
            self.apply(event)

    def apply(self, event: events.Event) -> None:
        """Take one more event into account."""
        _HANDLERS[type(event)](self, event)
        if self._opened_at:
            self.seconds = self.seconds_at(event.time)

    @property
    def supernet(self) -> Record | None:
        """The training of the shared weights, with which a study that has any begins."""
        first = self.records.get(0)
        return first if first and first.candidate.phase == "supernet" else None

    @property
    def has_switched(self) -> bool:
        """Whether the shared weights were given up and candidates are trained on their own."""
        return self.ranked is not None and self.ranked.verdict == "switched"

    def seconds_at(self, now: float) -> float:
        """Return how long drivers have run this study, if one runs it still at `now`."""
        return self._seconds_before + max(0.0, now - self._opened_at)

    @property
    def ended(self) -> int:
        """Number of candidates that completed or failed."""
        return self.completed + self.failed

    def ranking(self, phase: str) -> list[Record]:
        """Return the completed candidates of a phase: the best first, infeasible ones last.

        Those that were promoted to more epochs come first, and instead of what they continue.
        """
        done = (r for r in self.records.values() if r.state == "completed")
        own = (r for r in done if r.candidate.phase == phase and not self.is_superseded(r))
        return sorted(own, key=self.rank)

    def is_superseded(self, record: Record) -> bool:
        """Return whether the same network was trained on, and completed, as another candidate."""
        successor = record.continued_by
        return successor is not None and self.records[successor].state == "completed"

    def rank(self, record: Record) -> tuple[tuple[float, ...], int]:
        """Return what completed candidates are sorted by, best first; the older wins a tie.

        Results after fewer epochs than others were to have are not compared with theirs, and so
        scores with shared weights rank behind what was trained.
        """
        values = losses(self.objectives, record.metrics)
        return (self.violation(record), -_epochs_given(record), *values), record.id

    def comparable(self, completed: Iterable[Record]) -> list[Record]:
        """Return those whose results are on one scale, in the order given.

        They meet the constraints and were to be trained for as many epochs as any that does; scores
        with shared weights count only where nothing was trained.

        Args:
            completed: Completed candidates.
        """
        feasible = [record for record in completed if not self.violation(record)]
        most = max(map(_epochs_given, feasible), default=0.0)
        return [record for record in feasible if _epochs_given(record) == most]

    def violation(self, record: Record) -> float:
        """Return by how much a completed candidate misses the constraints; 0 if it meets them."""
        return total_violation(self.constraints, record.metrics)

    @property
    def best(self) -> Record | None:
        """The best architecture of the final phase by its mean over seeds, else of the search."""
        groups = self.final_groups()
        if not groups:
            return next(iter(self.ranking("search")), None)
        winner = min(groups, key=self._mean_rank)
        return min(winner, key=self.rank)

    def final_groups(self) -> list[list[Record]]:
        """Return the completed final trainings, with those of one network together.

        A network that was trained from random weights and from shared ones makes two groups.
        """
        groups: dict[tuple[int, int | None], list[Record]] = {}
        for record in self.ranking("final"):
            candidate = record.candidate
            groups.setdefault((candidate.parents[0], candidate.inherit_from), []).append(record)
        return list(groups.values())

    def winners(self) -> Sequence[Record]:
        """Return all trainings of the winning architecture, by id; these are tested.

        Without any there is nothing to test: a best candidate that was only scored with shared
        weights has none of its own.
        """
        best = self.best
        if best is None or best.candidate.is_scored:
            return []
        group = next((each for each in self.final_groups() if best in each), [best])
        return sorted(group, key=lambda record: record.id)

    @property
    def tested(self) -> events.Tested | None:
        """What the test of the winner gave; None if the present winner was not tested.

        Trainings of which nothing could be kept are not among those that were.
        """
        winners = {record.id for record in self.winners()}
        if self._tested and winners.issuperset(self._tested.candidate_ids):
            return self._tested
        return None

    def _mean_rank(self, group: Sequence[Record]) -> tuple[float, ...]:
        rows = [self.rank(record)[0] for record in group]
        return tuple(sum(column) / len(rows) for column in zip(*rows, strict=True))

    def _on_created(self, event: events.Created) -> None:
        self.created = event
        self.objectives = tuple(Objective(**item) for item in event.config["objectives"])
        # Journals from before there were constraints do not have the key.
        self.constraints = tuple(Constraint(**i) for i in event.config.get("constraints", ()))
        self.training_epochs = event.config.get("training", {}).get("epochs", 0)

    def _on_opened(self, event: events.Opened) -> None:
        self._seconds_before, self._opened_at = self.seconds, event.time
        self.opened = event
        self.ending = None

    def _on_primed(self, event: events.Primed) -> None:
        self.primed = event

    def _on_proposed(self, event: events.Proposed) -> None:
        record = Record(event.candidate, started=event.time)
        self.records[record.id] = self.pending[record.id] = record
        self.proposed[record.candidate.phase] += 1
        if event.candidate.continues is not None:
            self.records[event.candidate.continues].continued_by = record.id
        if record.candidate.phase == "search":
            self.searched += 1
            asked = record.candidate.epochs
            asked = self.training_epochs if asked is None else asked
            self.spent.ask(record.id, max(asked - self._earlier_epochs(record), 0))

    def _on_reported(self, event: events.Reported) -> None:
        record, measurement = self.records[event.candidate_id], event.measurement
        record.metrics = measurement.metrics
        record.step = measurement.step
        record.has_files |= measurement.checkpoint is not None
        record.has_weights = measurement.checkpoint == WEIGHTS_FILE
        if measurement.note and measurement.note not in record.note:
            record.note = "; ".join(filter(None, (record.note, measurement.note)))
        if not record.candidate.is_scored:
            self.spent.measure(record.id, measurement.seconds * self._gpus)

    def _on_completed(self, event: events.Completed) -> None:
        record = self._close(event)
        record.state = "completed"
        record.metrics = {sys.intern(name): value for name, value in event.metrics.items()}
        self.completed += 1

    def _on_failed(self, event: events.Failed) -> None:
        record = self._close(event)
        record.state, record.reason = "failed", event.reason
        self.failed += 1

    def _close(self, event: events.Completed | events.Failed) -> Record:
        record = self.pending.pop(event.candidate_id)
        record.ended, record.seconds = event.time, event.seconds
        record.node, record.peak = sys.intern(event.node), event.peak
        record.joules = event.joules
        # There are many candidates, but few different resources and nodes, and names of metrics.
        record.resources = self._resources.setdefault(
            tuple(event.resources.items()), event.resources
        )
        gpu_seconds = event.seconds * event.resources.get("gpus", 0.0)
        self.spent.end(record.id, record.epochs - self._earlier_epochs(record), gpu_seconds)
        return record

    def _earlier_epochs(self, record: Record) -> int:
        """Return the epochs that the candidate trained which this one goes on with."""
        before = record.candidate.continues
        return 0 if before is None else self.records[before].step

    @property
    def _gpus(self) -> float:
        """GPUs that an open candidate holds, as far as that was said when the driver began."""
        gpus = self.opened.resources.get("gpus") if self.opened else None
        return float(gpus) if isinstance(gpus, int | float) else 0.0

    def _on_outgrew(self, event: events.Outgrew) -> None:
        record = self.records[event.candidate_id]
        record.outgrew, record.peak = event.resources, event.peak

    def _on_lost(self, event: events.Lost) -> None:
        self.records[event.candidate_id].lost += not event.innocent

    def _on_dropped(self, event: events.Dropped) -> None:
        for number in event.candidate_ids:
            self.records[number].has_files = self.records[number].has_weights = False

    def _on_ranked(self, event: events.Ranked) -> None:
        self.ranked = event
        if self.has_switched:
            self.searched, self.primed = 0, None  # the search begins anew
            self.spent = Spending()

    def _on_tested(self, event: events.Tested) -> None:
        self._tested = event

    def _on_ending(self, event: events.Finished | events.Interrupted) -> None:
        self.ending = event


def _epochs_given(record: Record) -> float:
    """Return for how many epochs a candidate was to be trained; infinity for the study's own."""
    given = record.candidate.epochs
    return math.inf if given is None else given


_HANDLERS: dict[type[events.Event], Callable[..., None]] = {
    events.Created: StudyState._on_created,
    events.Opened: StudyState._on_opened,
    events.Primed: StudyState._on_primed,
    events.Proposed: StudyState._on_proposed,
    events.Reported: StudyState._on_reported,
    events.Completed: StudyState._on_completed,
    events.Failed: StudyState._on_failed,
    events.Outgrew: StudyState._on_outgrew,
    events.Lost: StudyState._on_lost,
    events.Dropped: StudyState._on_dropped,
    events.Ranked: StudyState._on_ranked,
    events.Tested: StudyState._on_tested,
    events.Interrupted: StudyState._on_ending,
    events.Finished: StudyState._on_ending,
}
