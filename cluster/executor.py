"""What an executor needs from a study, and a study from an executor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from phylon.search.candidate import Candidate, Measurement
from phylon.search.evaluation import Evaluator

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Usage:
    """What an evaluation cost.

    Attributes:
        seconds: Wall-clock seconds.
        resources: What was held meanwhile: ``cpus`` and ``gpus``, fractions allowed.
        node: Where it ran.
    """

    seconds: float
    resources: dict[str, float] = field(default_factory=dict)
    node: str = ""


class Driven(Protocol):
    """The study as executors see it. All calls come from one thread.

    Every method that takes a result returns only when it is on stable storage.
    """

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to run, now or later."""

    @property
    def stopping(self) -> bool:
        """Whether running candidates should be abandoned; they will be resumed later."""

    def propose(self) -> Candidate | None:
        """Return the next candidate to run, or None if there is none until another result."""

    def observe(self, candidate_id: int, measurement: Measurement) -> None:
        """Take a measurement of a running candidate."""

    def complete(self, candidate_id: int, usage: Usage) -> None:
        """Take the end of a candidate that was measured."""

    def fail(self, candidate_id: int, reason: str, usage: Usage) -> None:
        """Take the end of a candidate whose evaluation raised."""

    def lose(self, running: int, waiting: Sequence[int], reason: str) -> None:
        """Take note that a candidate's worker is gone, and which others it was to run next."""


class Executor(Protocol):
    """Runs candidates until the study has no more."""

    @property
    def slots(self) -> int:
        """How many candidates run at the same time."""

    def run(self, study: Driven, evaluator: Evaluator) -> None:
        """Evaluate what `study` proposes until it is finished or stopping."""

    def call(self, function: Callable[[], T]) -> T:
        """Run one function with the resources of a candidate and return its result."""
