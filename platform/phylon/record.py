"""A candidate and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from phylon.search.candidate import Candidate

RecordState = Literal["pending", "completed", "failed"]


@dataclass(slots=True)
class Record:
    """A candidate and what became of it.

    Attributes:
        candidate: What was proposed.
        state: ``pending`` until it completed or failed.
        metrics: Its last measured metrics.
        seconds: Wall-clock seconds of its evaluation.
        started: When it was proposed, seconds since the epoch.
        ended: When it completed or failed; None while pending.
        resources: What it held while it ran.
        node: Where it ran.
        reason: Why it failed; empty otherwise.
        step: Last step (epoch) it reported.
        lost: How often its worker died under it, and not its whole node.
        peak: Bytes of memory that it held at most; 0 if not known.
        joules: Energy that it took; None if its machine does not tell.
        outgrew: What it held when that was too little memory, the last time; empty if never.
        continued_by: Id of the candidate that goes on with its training; None if there is none.
        note: What is to be known of its evaluation, such as why it began with random weights.
        has_files: Whether it told of a checkpoint or weights, and they were not dropped.
        has_weights: Whether others may begin with the weights that it told of last.
    """

    candidate: Candidate
    state: RecordState = "pending"
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    started: float = 0.0
    ended: float | None = None
    resources: dict[str, float] = field(default_factory=dict)
    node: str = ""
    reason: str = ""
    step: int = 0
    lost: int = 0
    peak: int = 0
    joules: float | None = None
    outgrew: dict[str, float] = field(default_factory=dict)
    continued_by: int | None = None
    note: str = ""
    has_files: bool = False
    has_weights: bool = False

    @property
    def id(self) -> int:
        """Index of the candidate in the study."""
        return self.candidate.id

    @property
    def is_unwritten(self) -> bool:
        """Whether it has no weights and says why: they could not be written."""
        return self.state == "completed" and not self.has_weights and bool(self.note)

    @property
    def epochs(self) -> int:
        """Epochs that it was trained so far; 0 if it is scored with inherited weights."""
        return 0 if self.candidate.is_scored else self.step
