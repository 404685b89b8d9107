"""What the studies of a bench have in common, as their processes need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

from phylon.search.architecture import Architecture
from phylon.search.space import SearchSpace


@final
@dataclass(frozen=True, slots=True)
class Problem:
    """A table as a strategy meets it, of ``n`` rows and ``m`` objectives.

    Attributes:
        space: Where to search.
        rows: The row of each architecture in the table.
        twins: The first row of each network by its key, where the table leaves out spellings.
        losses: What strategies are told, to be minimised; shape ``(n, m)``.
        budget: Evaluations; or simulated seconds, where there are durations.
        workers: How many evaluations run at a time.
        durations: Simulated seconds of each evaluation, shape ``(n,)``; None to count evaluations.
        proxies: Scores of untrained networks, for strategies that begin by them.
    """

    space: SearchSpace
    rows: Mapping[Architecture, int]
    losses: NDArray[np.float64]
    budget: float
    workers: int = 1
    durations: NDArray[np.float64] | None = None
    proxies: Mapping[Architecture, Mapping[str, float]] | None = None
    twins: Mapping[str, int] = field(default_factory=dict)

    def row(self, architecture: Architecture) -> int | None:
        """Return the row of an architecture or of another spelling of it, if there is one."""
        row = self.rows.get(architecture)
        if row is None and self.twins:
            return self.twins.get(self.space.key(architecture))
        return row
