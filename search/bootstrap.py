"""How sure a mean is: its bootstrap interval."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]

_RESAMPLES, _AT_ONCE = 1000, 50
_LEVELS = (2.5, 97.5)  # percent


def intervals(rows: ArrayLike) -> tuple[Floats, Floats]:
    """Return the 95 % intervals of the means of columns: `n` rows, drawn anew with replacement.

    Percentile bootstrap: B. Efron and R. Tibshirani, "An Introduction to the Bootstrap" (1993),
    ch. 13. All columns see the same draws, and equal rows give equal intervals.

    Args:
        rows: Numbers of shape ``(n, d)``, `n` at least 1.

    Returns:
        The lower and the upper ends, of shape ``(d,)`` each.
    """
    values = np.asarray(rows, dtype=np.float64)
    n, rng = len(values), np.random.default_rng(0)
    chances = np.full(n, 1 / n)
    means = [
        rng.multinomial(n, chances, size=_AT_ONCE) @ values / n
        for _ in range(_RESAMPLES // _AT_ONCE)
    ]
    low, high = np.percentile(np.concatenate(means), _LEVELS, axis=0)
    return low, high
