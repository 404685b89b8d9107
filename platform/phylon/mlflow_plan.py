"""What a stretch of the journal means in MLflow: which runs there are, and what is written to each.

Pure: nothing here talks to MLflow. The same events always give the same writes, times included, and
every write may be repeated without harm. That is how each thing gets to MLflow exactly once.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from phylon import events
from phylon.mlflow_record import STUDY
from phylon.search.candidate import Candidate
from phylon.search.constraint import Constraint, total_violation
from phylon.search.objective import Objective

MAX_KEY = 250
MAX_PARAM = 6000
MAX_TAG = 8000


class Point(NamedTuple):
    """One value of a metric, at `time` in milliseconds since the epoch."""

    key: str
    value: float
    time: int
    step: int


@dataclass(frozen=True, slots=True)
class Birth:
    """How a run begins, at `time` in milliseconds since the epoch."""

    name: str
    time: int
    tags: dict[str, str]


@dataclass(slots=True)
class RunWrites:
    """What is to be written to one run, in any order but for its birth.

    Attributes:
        birth: How to create the run; None if it exists.
        params: Decisions and settings.
        tags: Tags to set.
        metrics: Points to add.
        status: MLflow's status of the run and since when, in milliseconds since the epoch.
    """

    birth: Birth | None = None
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[Point] = field(default_factory=list)
    status: tuple[str, int] | None = None


Plan = dict[int, RunWrites]


class Projection:
    """Turns the events of one study, in order, into writes to MLflow.

    Attributes:
        created: The event that began the study; None until it was read.
        finished: Index of the `Finished` event at the study's end so far; None if there is none.
    """

    def __init__(self) -> None:
        self.created: events.Created | None = None
        self.finished: int | None = None
        self._events = 0
        self._objectives: tuple[Objective, ...] = ()
        self._constraints: tuple[Constraint, ...] = ()
        self._pending: dict[int, Candidate] = {}
        self._halted = False
        self._completed = 0
        self._best: dict[str, float] = {}
        self._probes = 0

    def plan(self, history: Iterable[events.Event]) -> Plan:
        """Take the next events into account and return what they mean, run by run."""
        writes: Plan = defaultdict(RunWrites)
        for event in history:
            self._apply(event, writes)
            self._events += 1
        return dict(writes)

    def _apply(self, event: events.Event, writes: Plan) -> None:
        match event:
            case events.Created():
                self._create(event, writes[STUDY])
            case events.Opened():
                self._open(event, writes)
            case events.Ranked():
                self._rank(event, writes[STUDY])
            case events.Tested():
                writes[STUDY].metrics += _points(_spread(event.metrics), _ms(event.time), 0)
                writes[STUDY].tags["phylon.winners"] = json.dumps(event.candidate_ids)
            case events.Interrupted() | events.Finished():
                self._halt(event, writes)
            case _:
                self._follow(event, writes)

    def _follow(self, event: events.Event, writes: Plan) -> None:
        """Take an event into account that is about a candidate."""
        match event:
            case events.Proposed():
                self._propose(event, writes[event.candidate.id])
            case events.Reported(candidate_id=number, measurement=measurement):
                points = _points(measurement.metrics, _ms(event.time), measurement.step)
                writes[number].metrics += points
            case events.Completed():
                self._complete(event, writes)
            case events.Failed():
                self._fail(event, writes[event.candidate_id])
            case events.Lost():
                writes[event.candidate_id].tags["phylon.lost"] = event.reason[:MAX_TAG]

    def _create(self, event: events.Created, writes: RunWrites) -> None:
        self.created = event
        self._objectives = tuple(Objective(**item) for item in event.config["objectives"])
        self._constraints = tuple(Constraint(**i) for i in event.config.get("constraints", ()))
        tags = {
            "phylon.kind": "study",
            "phylon.study": event.uid,
            "phylon.state": "running",
            "phylon.data": json.dumps(event.fingerprint)[:MAX_TAG],
        }
        writes.birth = Birth(event.config["name"], _ms(event.time), tags)
        # The space is a tree, not a setting; it goes to the artifacts.
        settings = {key: value for key, value in event.config.items() if key != "space"}
        writes.params.update(as_params(flatten(settings)))

    def _open(self, event: events.Opened, writes: Plan) -> None:
        tags = writes[STUDY].tags
        tags |= {f"phylon.version.{name}": value for name, value in event.versions.items()}
        tags["phylon.driver"] = f"{event.host}:{event.pid}"
        tags["phylon.budget"] = json.dumps(event.budget)
        if self._halted:
            tags["phylon.state"] = "running"
            for run in (STUDY, *self._pending):
                writes[run].status = ("RUNNING", _ms(event.time))
        self._halted, self.finished = False, None

    def _propose(self, event: events.Proposed, writes: RunWrites) -> None:
        candidate = event.candidate
        self._pending[candidate.id] = candidate
        tags = {
            "phylon.kind": "candidate",
            "phylon.study": self.created.uid if self.created else "",
            "phylon.id": str(candidate.id),
            "phylon.parents": json.dumps(candidate.parents)[:MAX_TAG],
            "phylon.operator": candidate.operator,
            "phylon.generation": str(candidate.generation),
            "phylon.phase": candidate.phase,
            "phylon.key": candidate.architecture.key,
            "phylon.seed": str(candidate.seed),
            "phylon.state": "pending",
        }
        if candidate.continues is not None:
            tags["phylon.continues"] = str(candidate.continues)
        if candidate.inherit_from is not None:
            tags["phylon.inherit_from"] = str(candidate.inherit_from)
        name = "supernet" if candidate.phase == "supernet" else f"candidate {candidate.id}"
        writes.birth = Birth(name, _ms(event.time), tags)
        writes.params.update(as_params(candidate.architecture.flat))

    def _complete(self, event: events.Completed, writes: Plan) -> None:
        time = _ms(event.time)
        candidate = self._pending.pop(event.candidate_id)
        self._completed += 1
        run = writes[event.candidate_id]
        run.tags |= {"phylon.state": "completed", "phylon.node": event.node}
        run.metrics.append(Point("seconds", event.seconds, time, 0))
        run.status = ("FINISHED", time)
        if candidate.phase == "supernet":
            return
        if self._constraints:
            violation = total_violation(self._constraints, event.metrics)
            run.tags["phylon.violation"] = f"{violation:.6g}"
            if violation:
                return
        if candidate.phase in ("search", "final"):
            kind = "best.shared" if candidate.is_scored else "best"
            best = self._best_so_far(event.metrics, kind)
            writes[STUDY].metrics += _points(best, time, self._completed)

    def _best_so_far(self, metrics: Mapping[str, float], kind: str) -> dict[str, float]:
        """Return the best of each objective; scores with shared weights are a kind of their own."""
        best = {}
        for objective in self._objectives:
            name, value = objective.metric, metrics[objective.metric]
            key = f"{kind}.{name}"
            held = {name: self._best.get(key, value)}
            if objective.loss(metrics) <= objective.loss(held):
                self._best[key] = value
            best[key] = self._best[key]
        return best

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
            writes.metrics += _points(told, _ms(event.time), event.probes)
        if event.verdict:
            writes.tags["phylon.rank_verdict"] = event.verdict

    def _fail(self, event: events.Failed, writes: RunWrites) -> None:
        del self._pending[event.candidate_id]
        writes.tags |= {"phylon.state": "failed", "phylon.reason": event.reason[:MAX_TAG]}
        writes.tags["phylon.node"] = event.node
        writes.status = ("FAILED", _ms(event.time))

    def _halt(self, event: events.Interrupted | events.Finished, writes: Plan) -> None:
        time = _ms(event.time)
        is_finished = isinstance(event, events.Finished)
        self._halted = True
        self.finished = self._events if is_finished else None
        for candidate_id in self._pending:
            writes[candidate_id].status = ("KILLED", time)
        writes[STUDY].status = ("FINISHED" if is_finished else "KILLED", time)
        writes[STUDY].tags |= {
            "phylon.state": "finished" if is_finished else "interrupted",
            "phylon.ending": event.reason[:MAX_TAG],
        }


def flatten(value: object, path: str = "") -> dict[str, object]:
    """Return nested JSON data as a flat dict of scalars by dotted path.

    >>> flatten({"budget": {"candidates": 30}, "objectives": [{"metric": "accuracy"}]})
    {'budget.candidates': 30, 'objectives.0.metric': 'accuracy'}
    """
    if isinstance(value, Mapping):
        items: Iterator[tuple[object, object]] = iter(value.items())
    elif isinstance(value, list | tuple):
        items = iter(enumerate(value))
    else:
        return {path: value}
    return {
        name: leaf
        for key, child in items
        for name, leaf in flatten(child, f"{path}.{key}" if path else str(key)).items()
    }


def as_params(flat: Mapping[str, object]) -> dict[str, str]:
    """Return decisions as params that MLflow takes: legal names, values of bounded length."""
    return {legal_key(name): str(value)[:MAX_PARAM] for name, value in flat.items()}


def legal_key(name: str) -> str:
    """Return the name itself if MLflow takes it, else the nearest that it does.

    >>> legal_key("stages.0.width"), legal_key("f1 (macro)")
    ('stages.0.width', 'f1 _macro_')
    """
    key = re.sub(r"[^\w.\- :/]", "_", name)
    if posixpath.normpath(key) != key or key.startswith((".", "/")):
        key = "_" + key.replace("/", "_")
    if len(key) > MAX_KEY:
        key = f"{key[: MAX_KEY - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return key


def _points(metrics: Mapping[str, float], time: int, step: int) -> list[Point]:
    return [Point(legal_key(name), float(value), time, step) for name, value in metrics.items()]


def _spread(metrics: Mapping[str, list[float]]) -> dict[str, float]:
    """Return mean and sample standard deviation of each metric over the winner's trainings."""
    values: dict[str, float] = {}
    for name, column in metrics.items():
        key = name if name.startswith("test") else f"test.{name}"
        values[key] = statistics.fmean(column)
        values[f"{key}.std"] = statistics.stdev(column) if len(column) > 1 else 0.0
    return values


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
