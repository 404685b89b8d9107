"""Which of several sampled futures is the best to try."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phylon.search.pareto import hypervolume

Floats = NDArray[np.float64]

MARGIN = 0.1
"""How far the reference point lies behind the worst of the front, as a fraction of its range."""


def best_of(samples: Floats, front: Floats) -> int:
    """Return the index of the sample that would add most.

    Of one objective that is the least. Of several it is the one that adds most hypervolume to the
    front; if none does, the one with the least sum.

    Args:
        samples: Losses that the candidates may have, shape ``(k, m)``.
        front: Losses that nothing found so far dominates, shape ``(f, m)``; may be empty.
    """
    if samples.shape[1] == 1 or not len(front):
        return int(np.argmin(samples.sum(axis=1)))
    gains = _gains(samples, front)
    return int(np.argmax(gains) if gains.max() > 0 else np.argmin(samples.sum(axis=1)))


def _gains(samples: Floats, front: Floats) -> Floats:
    worst = front.max(axis=0)
    reference = worst + MARGIN * np.maximum(worst - front.min(axis=0), 1.0)
    covered = (front[:, None] <= samples).all(axis=2).any(axis=0)
    gains = np.zeros(len(samples))
    within = (samples < reference).all(axis=1) & ~covered
    before = hypervolume(front, reference)
    for index in np.flatnonzero(within):
        gains[index] = hypervolume(np.vstack([front, samples[index]]), reference) - before
    return gains
