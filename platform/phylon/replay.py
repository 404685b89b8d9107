"""Rebuilding a candidate along its line of weights, to see whether it comes out the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from phylon.ancestry import candidate_of
from phylon.cluster.attempts import candidate_folder, evaluate
from phylon.cluster.executor import Share
from phylon.cluster.location import CANDIDATES, Location
from phylon.cluster.weights import read_weights, shelf
from phylon.costs import LineCosts, line_of_weights
from phylon.environment import machine, versions
from phylon.errors import ConfigurationError, EvaluationError
from phylon.history import History, read_history
from phylon.progress import shorten
from phylon.record import Record
from phylon.search.candidate import Measurement
from phylon.search.evaluation import WEIGHTS_FILE, Context, Published
from phylon.state import StudyState
from phylon.study import Study


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A candidate that was measured again.

    Attributes:
        record: What became of it in the study.
        metrics: What was measured now.
    """

    record: Record
    metrics: Mapping[str, float]

    @property
    def difference(self) -> float:
        """Largest absolute difference of a metric; infinite if one was measured only once."""
        before = self.record.metrics
        if before.keys() != self.metrics.keys():
            return math.inf
        return max((apart(before[name], value) for name, value in self.metrics.items()), default=0)


@dataclass(frozen=True, slots=True)
class Replayed:
    """A line of weights that was rebuilt.

    Attributes:
        steps: Its candidates, the first one first.
        weights: Largest absolute difference of a weight of the last one; infinite if they are of
            other names or shapes, None if the study does not keep them.
    """

    steps: list[Rebuilt]
    weights: float | None

    @property
    def metrics(self) -> float:
        """Largest absolute difference of a metric of any of them."""
        return max(step.difference for step in self.steps)

    @property
    def is_same(self) -> bool:
        """Whether nothing differs that can be compared."""
        return not self.metrics and not self.weights


class Replay:
    """What it takes to rebuild a candidate: all whose training is in its weights, one by one.

    Each is trained in this process as it was in the study: the same architecture, seed, epochs and
    threads, beginning with the weights of the one before it as they come out now. What began with
    random weights, for whatever reason, does so again. The study is only read.

    Args:
        study: Whose candidate.
        number: Its id.

    Attributes:
        line: The candidates to train, the first one first.
        costs: What they cost in the study.
        device: ``cpu`` or ``cuda``, as in the study if there is a GPU here.
        unlike: What is different here from where they were trained, as far as that is known.

    Raises:
        ConfigurationError: There is no such candidate, or it did not complete, or its weights are
            from shared ones.
    """

    def __init__(self, study: Study, number: int) -> None:
        history = read_history(study.location)
        self.line = _line(history.state, number)
        self.costs = LineCosts(history.state.records).line(self.line[-1])
        had_gpu = any(record.resources.get("gpus") for record in self.line)
        self.device = "cuda" if had_gpu and _has_gpu() else "cpu"
        self.unlike = list(dict.fromkeys(_unlike(history, self.line)))
        if had_gpu and self.device == "cpu":
            self.unlike.append("device: a GPU, now the CPU")
        self._evaluator = study.parts.evaluator
        self._study = study.location

    def run(self, tell: Callable[[Rebuilt], None]) -> Replayed:
        """Rebuild the candidate.

        Args:
            tell: Is told of each candidate of the line as it is done.

        Raises:
            EvaluationError: One fails now, or what the study keeps of the weights is damaged.
        """
        with TemporaryDirectory(prefix="phylon-replay-") as folder:
            place = Location(folder)
            weights = shelf(place)
            steps = []
            for record in self.line:
                steps.append(Rebuilt(record, self._train(record, place, weights)))
                tell(steps[-1])
            return Replayed(steps, self._compare_weights(place))

    def _train(
        self, record: Record, place: Location, weights: Callable[[int], Published]
    ) -> dict[str, float]:
        """Return the last metrics of a candidate."""
        assert place.local is not None
        last: dict[str, float] = {}

        def report(measurement: Measurement) -> None:
            last.clear()
            last.update(measurement.metrics)

        def none(_: int) -> Published:
            raise EvaluationError("as in the study")

        candidate = record.candidate
        context = Context(
            candidate_folder(place.local, candidate.id),
            report,
            threads=max(1, int(record.resources.get("cpus", 1.0))),
            device=self.device,
            weights=none if record is self.line[0] else weights,
        )
        ended = evaluate(self._evaluator, candidate, context, Share())
        if ended.error is not None:
            raise EvaluationError(f"candidate {candidate.id} fails in the replay: {ended.error}")
        return last

    def _compare_weights(self, place: Location) -> float | None:
        """Return how far the last candidate's weights are from those that the study keeps."""
        number = self.line[-1].id
        if not (self._study / CANDIDATES / number / WEIGHTS_FILE).exists():
            return None
        kept, found = (read_weights(each, number).arrays for each in (self._study, place))
        if {k: v.shape for k, v in kept.items()} != {k: v.shape for k, v in found.items()}:
            return math.inf
        return max((_furthest(kept[name], found[name]) for name in kept), default=0.0)


def apart(one: float, other: float) -> float:
    """Return the absolute difference of two numbers: 0 of two that are not numbers.

    >>> apart(0.5, 0.25), apart(math.nan, math.nan), apart(math.nan, 1.0)
    (0.25, 0.0, inf)
    """
    if one == other or (math.isnan(one) and math.isnan(other)):
        return 0.0
    distance = abs(one - other)
    return math.inf if math.isnan(distance) else distance


def _furthest(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """Return the largest absolute difference of two arrays of equal shape; see `apart`."""
    first, second = one.astype(np.float64), other.astype(np.float64)
    is_equal = (first == second) | (np.isnan(first) & np.isnan(second))
    distances = np.abs(first[~is_equal] - second[~is_equal])
    return float(np.nan_to_num(distances, nan=math.inf, posinf=math.inf).max(initial=0.0))


def _line(state: StudyState, number: int) -> list[Record]:
    """Return what is to be trained again, if that can be done."""
    record = candidate_of(state, number)
    if record.state == "pending":
        raise ConfigurationError(
            f"candidate {number} is not at its end, so there is nothing to compare a replay with; "
            f"`phylon resume DIR` goes on with it"
        )
    if record.state == "failed":
        raise ConfigurationError(
            f"candidate {number} failed ({shorten(record.reason)}), so there is nothing to compare "
            f"a replay with; name one that completed"
        )
    line = line_of_weights(state.records, number)
    if line[0].candidate.phase == "supernet":
        raise ConfigurationError(
            f"candidate {number} begins with weights that all candidates share, and their training "
            f"is not replayed; name one that was trained on its own, as those of `final: "
            f"{{weights: fresh}}` are"
        )
    return line


def _unlike(history: History, line: list[Record]) -> Iterator[str]:
    """Yield what drivers of a line noted of where they ran, and is otherwise here."""
    here = {**versions(), **machine()}
    for record in line:
        ended = record.ended or record.started
        before = [driver for driver in history.drivers if driver.time <= ended]
        for driver in before[-1:]:
            there = {**driver.versions, **driver.machine}
            for name in sorted(there.keys() & here.keys()):
                if there[name] != here[name]:
                    yield f"{name}: {there[name]}, now {here[name]}"


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
