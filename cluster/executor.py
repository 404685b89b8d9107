"""What an executor needs from a study, and a study from an executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from phylon.search.candidate import Candidate, Measurement
from phylon.search.evaluation import Evaluator

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Share:
    """What one candidate holds while it runs.

    Attributes:
        cpus: CPU cores, fractions allowed.
        gpus: GPUs: 0, a fraction 1/k, or a whole number.
        memory: Bytes of its node's memory that it may use; 0 if that is not planned.
        workers: How many workers evaluate it together, each of which holds that much.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int = 0
    workers: int = 1

    def to_json(self) -> dict[str, float]:
        """Return it as events tell it: what all workers hold together."""
        memory = {"memory": float(self.memory * self.workers)} if self.memory else {}
        return {"cpus": self.cpus * self.workers, "gpus": self.gpus * self.workers, **memory}

    @classmethod
    def from_json(cls, data: Mapping[str, float]) -> Share:
        """Undo `to_json` of one worker."""
        return cls(data["cpus"], data["gpus"], int(data.get("memory", 0)))


class Shares(Protocol):
    """Decides what each candidate holds."""

    @property
    def least(self) -> Share:
        """What a slot holds: as many candidates run at once as this has room for."""

    @property
    def kinds(self) -> Mapping[str, Share]:
        """What candidates begin with, by the section of the study file that says so.

        A cluster without room for one of each is of no use. What the driver calls, such as the test
        of the winner, holds what is under ``resources``.
        """

    def of(self, candidate: Candidate) -> Share:
        """Return the share of a candidate that is about to run; asked again for each attempt."""

    def larger(self, share: Share) -> Share | None:
        """Return the next larger share, or None if no node can offer one."""

    def learn(self, candidate: Candidate, usage: Usage, *, sufficed: bool) -> None:
        """Take note of what a candidate used, and whether its share was enough for it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an evaluation cost.

    Attributes:
        seconds: Wall-clock seconds.
        share: What was held meanwhile.
        node: Where it ran.
        peak: Bytes of memory that it held at most, of the GPU if it had one; 0 if not known.
        joules: Energy that it took; None if its machine does not tell.
    """

    seconds: float
    share: Share = field(default_factory=Share)
    node: str = ""
    peak: int = 0
    joules: float | None = None


class Driven(Protocol):
    """The study as executors see it. All calls come from one thread.

    Nothing that was proposed may reach a worker before `flush` has returned.
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

    def outgrow(self, candidate_id: int, usage: Usage) -> None:
        """Take note that a candidate needs more memory than its share: it runs with more."""

    def lose(
        self, running: int, waiting: Sequence[int], reason: str, *, innocent: bool = False
    ) -> None:
        """Take note that a candidate's worker is gone, and which others it was to run next.

        Args:
            running: The candidate that the worker was evaluating.
            waiting: Candidates that it was to run next; they run elsewhere.
            reason: What is known of it.
            innocent: Whether it was not the candidate's doing: a node died, or was given back.
        """

    def flush(self) -> None:
        """Return when all that was taken and proposed is on stable storage."""


class Executor(Protocol):
    """Runs candidates until the study has no more."""

    @property
    def slots(self) -> int:
        """How many candidates run at the same time."""

    @property
    def words(self) -> str:
        """What there is to say about the machines, for the progress line; mostly nothing."""

    def run(self, study: Driven, evaluator: Evaluator) -> None:
        """Evaluate what `study` proposes until it is finished or stopping."""

    def call(self, function: Callable[[], T]) -> T:
        """Run one function with the resources of a candidate and return its result."""
