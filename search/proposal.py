"""What a strategy proposes, and what it may know before it begins."""

from __future__ import annotations

from dataclasses import dataclass

from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, candidate_seed


@dataclass(frozen=True, slots=True)
class Proposal:
    """An architecture that a strategy would like to see measured, and where it comes from."""

    architecture: Architecture
    parents: tuple[int, ...] = ()
    operator: str = "sample"
    generation: int = 0
    epochs: int | None = None
    continues: Candidate | None = None

    @classmethod
    def promotion(cls, candidate: Candidate, epochs: int) -> Proposal:
        """Propose to train a candidate on, up to so many epochs in all."""
        return cls(
            candidate.architecture,
            (candidate.id,),
            "promote",
            candidate.generation + 1,
            epochs,
            candidate,
        )

    def candidate(self, number: int, seed: int, epochs: int | None, *, inherits: bool) -> Candidate:
        """Return the candidate that the proposal becomes.

        Args:
            number: Its id.
            seed: The strategy's seed.
            epochs: How long it trains unless the proposal says it.
            inherits: Whether it begins with the weights of its first parent. What goes on with a
                candidate began as that did.
        """
        root = self.continues
        heir = inherits and root is None and self.parents
        return Candidate(
            id=number,
            architecture=self.architecture,
            parents=self.parents,
            operator=self.operator,
            generation=self.generation,
            seed=root.seed if root else candidate_seed(seed, number),
            epochs=epochs if self.epochs is None else self.epochs,
            continues=root.id if root else None,
            inherit_from=root.inherit_from if root else self.parents[0] if heir else None,
        )


@dataclass(frozen=True, slots=True)
class Known:
    """What an earlier study found out about an architecture.

    Attributes:
        architecture: An architecture of the space.
        losses: One normal score per objective: 0 for the median of that study, less for better.
    """

    architecture: Architecture
    losses: tuple[float, ...]
