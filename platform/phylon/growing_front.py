"""The Pareto front of results that come one by one, and the volume that it dominates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from phylon.search.pareto import grown, hypervolume

FIRST = 10
"""Results that tell where the volume ends."""
_MARGIN = 0.1


@final
class GrowingFront:
    """The hypervolume of all results so far; a function of the results and their order alone.

    It is measured from the reference point that the first ten results give, and that stays as it is
    from then on. A result that is dominated costs a comparison with the front, any other the
    volume of the front.

    Attributes:
        reference: Where the volume ends, as losses, of shape ``(m,)``; None until ten results are
            known.
        volume: What the front dominates within it; 0 as long as there is none.
    """

    def __init__(self) -> None:
        self.reference: NDArray[np.float64] | None = None
        self.volume = 0.0
        self._first: list[Sequence[float]] = []
        self._front: NDArray[np.float64] | None = None

    def add(self, losses: Sequence[float]) -> None:
        """Take one more result into account: ``m`` losses, each to be minimised."""
        if self.reference is None:
            self._first.append(losses)
            if len(self._first) == FIRST:
                self.reference = reference_point(self._first)
        before = np.empty((0, len(losses))) if self._front is None else self._front
        self._front = grown(before, np.asarray(losses, dtype=np.float64))
        if self.reference is not None and (self._front is not before or not self.volume):
            self.volume = hypervolume(self._front, self.reference)


def reference_point(losses: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return the worst of each objective, and a tenth of its range beyond, of shape ``(m,)``.

    So that results at the ends of the front count, too. Without a range it is a tenth of the value.

    Args:
        losses: Of shape ``(n, m)``, each to be minimised.
    """
    rows = np.asarray(losses, dtype=np.float64)
    worst, span = rows.max(axis=0), np.ptp(rows, axis=0)
    width = np.where(span > 0, span, np.where(worst != 0, np.abs(worst), 1.0))
    point: NDArray[np.float64] = worst + _MARGIN * width
    return point
