"""What the studies of a bench have in common, as their processes need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
