"""What a stretch of the journal means in MLflow: which runs there are, and what is written to each.

Pure: nothing here talks to MLflow. The same events always give the same writes, times included, and
every write may be repeated without harm. That is how each thing gets to MLflow exactly once.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping

from phylon import events
from phylon.costs import LineCosts, source
from phylon.mlflow_documents import shareable
from phylon.mlflow_family import Family
from phylon.mlflow_metrics import StudyMetrics
from phylon.mlflow_names import KeyNames, flatten
from phylon.mlflow_record import STUDY
from phylon.mlflow_tags import about_driver, born, ended
from phylon.mlflow_writes import Birth, Plan, RunWrites, milliseconds, points
from phylon.state import StudyState

_LINE_COSTS = ("line_epochs", "line_cpu_seconds", "line_gpu_seconds")
_COSTS = ("seconds", "cpu_seconds", "gpu_seconds", "joules", *_LINE_COSTS)


class Projection:
    """Turns the events of one study, in order, into writes to MLflow.

    Attributes:
        state: The study so far.
        finished: Index of the `Finished` event at the study's end so far; None if there is none.
    """

    def __init__(self) -> None:
        self.state = StudyState()
        self.finished: int | None = None
        self._events = 0
        self._halted = False
        self._probes = 0
        self._metrics = StudyMetrics(self.state)
        self._costs = LineCosts(self.state.records)
        self._family = Family(self.state)
        self._params = KeyNames()
        self._keys = KeyNames(reserved=_COSTS)

    @property
    def created(self) -> events.Created | None:
        """The event that began the study; None until it was read."""
        return self.state.created

    def plan(self, history: Iterable[events.Event]) -> Plan:
        """Take the next events into account and return what they mean, run by run."""
        writes: Plan = defaultdict(RunWrites)
        known = len(self._params.changed), len(self._keys.changed)
        for event in history:
            self._take(event, writes)
        self._tell_names(known, writes)
        names = [*self._keys.changed.items(), *self._params.changed.items()]
        for run, note in self._family.new_notes(self._metrics.leader, names):
            writes[run].note = note
        return dict(writes)

    def skip(self, history: Iterable[events.Event]) -> None:
        """Take events into account that MLflow has: what they mean is there."""
        for event in history:
            self._take(event, defaultdict(RunWrites))
        self._family.forget()

    def _take(self, event: events.Event, writes: Plan) -> None:
        self.state.apply(event)
        self._family.take(event)
        news = self._metrics.take(event)
        if news:
            keys, time = self._keys.of(news), milliseconds(event.time)
            writes[STUDY].metrics += points(keys, time, self.state.completed)
            # A hypervolume means nothing without the point where it ends.
            for kind, point in self._metrics.references.items():
                writes[STUDY].tags[f"phylon.reference.{kind}"] = json.dumps(point)
        match event:
            case events.Created():
                self._create(event, writes[STUDY])
            case events.Opened():
                self._open(event, writes)
            case events.Ranked():
                self._rank(event, writes[STUDY])
            case events.Tested():
                self._test(event, writes[STUDY])
            case events.Interrupted() | events.Finished():
                self._halt(event, writes)
            case _:
                self._follow(event, writes)
        self._events += 1

    def _follow(self, event: events.Event, writes: Plan) -> None:
        """Take an event into account that is about a candidate."""
        match event:
            case events.Proposed():
                self._propose(event, writes[event.candidate.id])
            case events.Reported(candidate_id=number, measurement=measurement):
                keys, time = self._keys.of(measurement.metrics), milliseconds(event.time)
                writes[number].metrics += points(keys, time, measurement.step)
            case events.Completed() | events.Failed():
                self._end(event, writes[event.candidate_id])
            case events.Lost():
                writes[event.candidate_id].tags["phylon.lost"] = event.reason

    def _create(self, event: events.Created, writes: RunWrites) -> None:
        tags = {
            "phylon.kind": "study",
            "phylon.study": event.uid,
            "phylon.state": "running",
            "phylon.data": json.dumps(event.fingerprint),
        }
        writes.birth = Birth(event.config["name"], milliseconds(event.time), tags)
        # The space is a tree, not a setting; it goes to the artifacts.
        told = shareable(event.config)
        settings = {key: value for key, value in told.items() if key != "space"}
        writes.params.update(self._as_params(flatten(settings)))

    def _open(self, event: events.Opened, writes: Plan) -> None:
        writes[STUDY].tags |= about_driver(event)
        if self._halted:
            writes[STUDY].tags["phylon.state"] = "running"
            for run in (STUDY, *self.state.pending):
                writes[run].status = ("RUNNING", milliseconds(event.time))
        self._halted, self.finished = False, None

    def _propose(self, event: events.Proposed, writes: RunWrites) -> None:
        candidate, created = event.candidate, self.state.created
        name = "supernet" if candidate.phase == "supernet" else f"candidate {candidate.id}"
        tags = born(candidate, created.uid if created else "")
        writes.birth = Birth(name, milliseconds(event.time), tags)
        writes.params.update(self._as_params(candidate.architecture.flat))

    def _end(self, event: events.Completed | events.Failed, writes: RunWrites) -> None:
        record, time = self.state.records[event.candidate_id], milliseconds(event.time)
        writes.tags |= ended(record, self.state)
        if not record.step:  # the score of an equal network, which is not reported again
            writes.metrics += points(self._keys.of(record.metrics), time, 1)
        shares = {"cpu_seconds": "cpus", "gpu_seconds": "gpus"}
        held = {key: event.resources.get(kind) for key, kind in shares.items()}
        costs = {key: event.seconds * share for key, share in held.items() if share is not None}
        if event.joules is not None:
            costs["joules"] = event.joules
        if source(record) is not None:
            line = self._costs.line(record)
            told = (float(line.epochs), line.cpu_seconds, line.gpu_seconds)
            costs |= dict(zip(_LINE_COSTS, told, strict=True))
        writes.metrics += points({"seconds": event.seconds, **costs}, time, 0)
        writes.status = ("FINISHED" if isinstance(event, events.Completed) else "FAILED", time)

    def _rank(self, event: events.Ranked, writes: RunWrites) -> None:
        if event.probes > self._probes:  # the verdict may come later, of the same probes
            self._probes = event.probes
            found = {
                "rank_correlation": event.kendall_tau,
                "rank_correlation_low": event.low,
                "rank_correlation_high": event.high,
                "rank_correlation_top_half": event.top_half,
            }
            told = {name: value for name, value in found.items() if value is not None}
            writes.metrics += points(told, milliseconds(event.time), event.probes)
        if event.verdict:
            writes.tags["phylon.rank_verdict"] = event.verdict

    def _test(self, event: events.Tested, writes: RunWrites) -> None:
        keys = self._keys.of(_spread(event.metrics))
        writes.metrics += points(keys, milliseconds(event.time), 0)
        writes.tags["phylon.winners"] = json.dumps(event.candidate_ids)

    def _halt(self, event: events.Interrupted | events.Finished, writes: Plan) -> None:
        time = milliseconds(event.time)
        is_finished = isinstance(event, events.Finished)
        self._halted = True
        self.finished = self._events if is_finished else None
        for candidate_id in self.state.pending:
            writes[candidate_id].status = ("KILLED", time)
        writes[STUDY].status = ("FINISHED" if is_finished else "KILLED", time)
        writes[STUDY].tags |= {
            "phylon.state": "finished" if is_finished else "interrupted",
            "phylon.ending": event.reason,
        }

    def _as_params(self, flat: Mapping[str, object]) -> dict[str, str]:
        return {self._params[name]: str(value) for name, value in flat.items()}

    def _tell_names(self, known: tuple[int, int], writes: Plan) -> None:
        """Write down names that MLflow does not take, and the keys that they have instead.

        Args:
            known: How many of params and of metrics were written down before.
            writes: Where to.
        """
        if known != (len(self._params.changed), len(self._keys.changed)):
            self._family.mark(STUDY)
        kinds = {"param": self._params, "metric": self._keys}
        for (kind, keys), before in zip(kinds.items(), known, strict=True):
            for key, name in list(keys.changed.items())[before:]:
                writes[STUDY].tags[f"phylon.{kind}.{key}"] = name


def _spread(metrics: Mapping[str, list[float]]) -> dict[str, float]:
    """Return mean and sample standard deviation of each metric over the winner's trainings."""
    values: dict[str, float] = {}
    for name, column in metrics.items():
        key = name if name.startswith("test") else f"test.{name}"
        values[key] = statistics.fmean(column)
        values[f"{key}.std"] = statistics.stdev(column) if len(column) > 1 else 0.0
    return values
