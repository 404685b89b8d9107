"""How a search goes, as numbers: what MLflow shows of a study while it runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import final

from phylon import events
from phylon.growing_front import GrowingFront
from phylon.record import Record
from phylon.search.architecture import Scalar
from phylon.search.objective import losses
from phylon.state import StudyState

WINDOW = 20
"""The latest candidates, by which diversity and throughput go."""


@final
class StudyMetrics:
    """Follows a study and tells, with each candidate that ends, how the search goes.

    A function of the events alone. Per event it looks at no more than the latest candidates, and
    at the front of several objectives.

    Args:
        state: The study; each event must be applied to it first.
    """

    def __init__(self, state: StudyState) -> None:
        self._state = state
        self._bests = {is_scored: _Best() for is_scored in (False, True)}
        self._diversity = _Diversity()
        self._slots = _Slots(state)
        self._ends = deque([0.0], maxlen=WINDOW + 1)
        self._cost = {"cpus": 0.0, "gpus": 0.0}  # hours

    def take(self, event: events.Event) -> dict[str, float]:
        """Take one more event into account; return what is new, by the names of metrics.

        - ``best.METRIC``: the best value so far, of each objective on its own, where constraints
          are met. Of scores with shared weights, ``best.shared.METRIC``.
        - ``search/hypervolume`` (``search/hypervolume.shared``), of several objectives: see
          `GrowingFront`.
        - ``search/diversity``: mean distance between two of the latest completed candidates of the
          search: 0 if they are equal, 1 if they differ in each decision, as far as they can.
        - ``search/failed``: failed candidates so far.
        - ``search/candidates_per_hour``: of the latest that ended, by the time that drivers ran.
        - ``search/utilisation``: share of the slots that had a candidate, since this driver began.
        - ``cost/cpu_hours`` and ``cost/gpu_hours``: what candidates that ended held, times the
          seconds of their evaluation.
        """
        self._slots.take(event)
        if not isinstance(event, events.Completed | events.Failed):
            return {}
        record = self._state.records[event.candidate_id]
        found = self._results(record) if isinstance(event, events.Completed) else {}
        self._ends.append(self._state.seconds)
        for kind in self._cost:
            self._cost[kind] += record.resources.get(kind, 0.0) * record.seconds / 3600
        return {
            **found,
            "search/failed": float(self._state.failed),
            "search/candidates_per_hour": self._throughput(),
            "search/utilisation": self._slots.utilisation(event.time),
            "cost/cpu_hours": self._cost["cpus"],
            "cost/gpu_hours": self._cost["gpus"],
        }

    @property
    def references(self) -> dict[str, dict[str, float]]:
        """Where each hypervolume ends: the value of each objective, by the hypervolume's name."""
        found = {}
        for is_scored, best in self._bests.items():
            if best.front.reference is not None:
                ends = zip(self._state.objectives, best.front.reference.tolist(), strict=True)
                found[_volume(is_scored)] = {
                    o.metric: -loss if o.direction == "maximize" else loss for o, loss in ends
                }
        return found

    @property
    def leader(self) -> Record | None:
        """The best candidate of the search so far."""
        leaders = [best.leader for best in self._bests.values() if best.leader]
        return min(leaders, key=self._state.rank, default=None)

    def _results(self, record: Record) -> dict[str, float]:
        candidate = record.candidate
        found = {}
        if candidate.phase == "search":
            self._diversity.add(candidate.architecture.flat)
            if (mean := self._diversity.mean) is not None:
                found["search/diversity"] = mean
        if candidate.phase not in ("search", "final") or self._state.violation(record):
            return found
        best = self._bests[candidate.is_scored]
        best.take(record, self._state)
        prefix = "best.shared" if candidate.is_scored else "best"
        found |= {f"{prefix}.{name}": value for name, value in best.values.items()}
        if best.front.reference is not None:
            found[f"search/{_volume(candidate.is_scored)}"] = best.front.volume
        return found

    def _throughput(self) -> float:
        seconds = self._ends[-1] - self._ends[0]
        return 3600 * (len(self._ends) - 1) / seconds if seconds > 0 else 0.0


def _volume(is_scored: bool) -> str:
    return "hypervolume.shared" if is_scored else "hypervolume"


class _Best:
    """What was reached so far, by candidates that are on one scale."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.front = GrowingFront()
        self.leader: Record | None = None

    def take(self, record: Record, state: StudyState) -> None:
        for objective in state.objectives:
            name, value = objective.metric, record.metrics[objective.metric]
            held = {name: self.values.get(name, value)}
            if objective.loss(record.metrics) <= objective.loss(held):
                self.values[name] = value
        if len(state.objectives) > 1:
            self.front.add(losses(state.objectives, record.metrics))
        if record.candidate.phase == "search" and (
            self.leader is None or state.rank(record) < state.rank(self.leader)
        ):
            self.leader = record


class _Diversity:
    """Mean distance between two of the latest architectures."""

    def __init__(self) -> None:
        # Each with its distances to those that came later, in order.
        self._latest: deque[tuple[dict[str, Scalar], list[float]]] = deque(maxlen=WINDOW)

    def add(self, decisions: dict[str, Scalar]) -> None:
        for other, distances in self._latest:
            distances.append(distance(decisions, other))
        self._latest.append((decisions, []))

    @property
    def mean(self) -> float | None:
        """The mean; None of a single one."""
        found = [each for _, distances in self._latest for each in distances]
        return sum(found) / len(found) if found else None


def distance(one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> float:
    """Return how far two architectures are from each other, from 0 to 1.

    The mean over all decisions that either has. Two numbers are as far from each other as the
    smaller falls short of the larger, in its size; other values are the same or not.

    >>> distance({"width": 8, "act": "relu"}, {"width": 16, "act": "relu"})
    0.25

    Args:
        one: Decisions by their path.
        other: Those of the other.
    """
    shared, apart = 0, 0.0
    for name, value in one.items():
        if name in other:
            shared += 1
            apart += _apart(value, other[name]) if value != other[name] else 0.0
    count = len(one) + len(other) - shared
    return (apart + count - shared) / count


def _apart(one: Scalar, other: Scalar) -> float:
    """Return how far two values are from each other that differ."""
    if isinstance(one, bool | str | None) or isinstance(other, bool | str | None):
        return 1.0
    return min(1.0, abs(one - other) / max(abs(one), abs(other)))


class _Slots:
    """How much of what could be used was used, since the present driver began."""

    def __init__(self, state: StudyState) -> None:
        self._state = state
        self._opened_at = 0.0
        self._slots = 0
        self._most_open = 0
        self._busy = 0.0
        self._began: dict[int, float] = {}

    def take(self, event: events.Event) -> None:
        match event:
            case events.Opened():
                self._opened_at, self._slots, self._busy = event.time, event.slots, 0.0
                self._began = dict.fromkeys(self._state.pending, event.time)
            case events.Proposed():
                self._began[event.candidate.id] = event.time
            case events.Completed() | events.Failed():
                self._busy += min(event.seconds, event.time - self._opened_at)
                del self._began[event.candidate_id]
        self._most_open = max(self._most_open, len(self._began))

    def utilisation(self, now: float) -> float:
        """Return the share from 0 to 1; candidates that are open count since they were proposed."""
        slots = self._slots or self._most_open
        wall = slots * (now - self._opened_at)
        if wall <= 0:
            return 0.0
        running = islice(self._began.values(), slots)  # the oldest: they were proposed in order
        return min(1.0, (self._busy + sum(now - began for began in running)) / wall)
