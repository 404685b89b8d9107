"""What a study tries, and what comes back: candidates, measurements, outcomes."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from phylon.search.architecture import Architecture

Phase = Literal["supernet", "sample", "search", "probe", "final"]
"""In the order in which they begin; probes are trained while the search goes on."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One network to be measured.

    Attributes:
        id: Index in the study, from 0, in the order of proposals.
        architecture: What to build.
        parents: Ids of the candidates it descends from; empty for a random one.
        operator: How it came from its parents: ``sample``, ``mutate``, ``crossover``, ``promote``,
            ``retrain``,
            ``probe``, ...
        generation: Length of the longest line of descent; 0 without parents.
        phase: ``search``, or ``final`` for the longer training of the best. With weight sharing
            ``supernet`` for the training of the shared weights, ``sample`` for random networks that
            are scored by them, and ``probe`` for those of them that are trained on their own.
        seed: Seeds weights, batches and augmentation, so that the candidate can be repeated.
        epochs: Epochs to train, in all; None for the study's default, 0 for none: it is scored with
            the weights that it inherits.
        continues: Id of the candidate whose training this one goes on with; it has its seed.
        inherit_from: Id of the candidate whose weights this one begins with; None for random ones.
    """

    id: int
    architecture: Architecture
    parents: tuple[int, ...] = ()
    operator: str = "sample"
    generation: int = 0
    phase: Phase = "search"
    seed: int = 0
    epochs: int | None = None
    continues: int | None = None
    inherit_from: int | None = None

    @property
    def is_scored(self) -> bool:
        """Whether it is measured with inherited weights as they are, and not trained."""
        return self.epochs == 0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data from which `from_json` makes an equal candidate."""
        return {
            "id": self.id,
            "architecture": self.architecture.nested,
            "parents": list(self.parents),
            "operator": self.operator,
            "generation": self.generation,
            "phase": self.phase,
            "seed": self.seed,
            "epochs": self.epochs,
            "continues": self.continues,
            "inherit_from": self.inherit_from,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Candidate:
        """Undo `to_json`."""
        made = {
            "architecture": Architecture(data["architecture"]),
            "parents": tuple(data["parents"]),
            "operator": sys.intern(data["operator"]),
            "phase": sys.intern(data["phase"]),
        }
        return cls(**{**data, **made})


def candidate_seed(study_seed: int, candidate_id: int) -> int:
    """Return the training seed of a candidate: a function of study seed and id alone."""
    return int(np.random.SeedSequence([study_seed, candidate_id]).generate_state(1)[0])


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one step (for networks: one epoch) of a candidate's evaluation gave.

    Attributes:
        step: 1 for the first epoch.
        metrics: Metric values by name.
        seconds: Wall-clock seconds this step took.
        checkpoint: Where the state after this step is kept, relative to the candidate's folder.
        note: What a user should know of the step that no metric tells; mostly nothing.
    """

    step: int
    metrics: dict[str, float]
    seconds: float
    checkpoint: str | None = None
    note: str = ""

    def unwritten(self, error: Exception) -> Measurement:
        """Return it without the weights that it names: they could not be written."""
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        notes = (self.note, f"its weights could not be written: {reason}")
        return replace(self, checkpoint=None, note="; ".join(filter(None, notes)))

    def to_json(self) -> dict[str, Any]:
        """Return its fields as plain JSON data, without an empty note."""
        note = {"note": self.note} if self.note else {}
        return {
            "step": self.step,
            "metrics": self.metrics,
            "seconds": self.seconds,
            "checkpoint": self.checkpoint,
            **note,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a strategy is told of a candidate.

    Attributes:
        losses: One value per objective, all to be minimised; None if the candidate failed.
        violation: By how much the constraints are missed, all taken together; 0 if they are met.
    """

    losses: tuple[float, ...] | None = field(default=None)
    violation: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether there is nothing to learn from the candidate but that it failed."""
        return self.losses is None

    def is_well_formed(self, objectives: int) -> bool:
        """Whether it is a failure, or gives a finite number for each objective."""
        if self.losses is None:
            return True
        numbers = (*self.losses, self.violation)
        return len(self.losses) == objectives and all(map(math.isfinite, numbers))
