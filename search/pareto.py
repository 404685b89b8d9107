"""Pareto fronts, and how much they cover; all losses are to be minimised.

One row of losses dominates another if it is nowhere greater and somewhere less. In what follows, n
is the number of rows and m that of objectives; losses are finite. What is no table of them is a
`ConfigurationError`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phylon.search.errors import ConfigurationError


def pareto_front(losses: ArrayLike) -> NDArray[np.bool_]:
    """Return which rows nothing dominates, shape ``(n,)``; of equal rows, all or none.

    Args:
        losses: Shape ``(n, m)``.
    """
    import moocore

    front: NDArray[np.bool_] = moocore.is_nondominated(_rows(losses), keep_weakly=True)
    return front


def grown(front: NDArray[np.float64], row: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a front with one more row, without those it dominates.

    It is the very same front if one of its rows is as good in every objective.

    Args:
        front: Shape ``(n, m)``; no row dominates another.
        row: Shape ``(m,)``.
    """
    if (front <= row).all(axis=1).any():
        return front
    return np.vstack([front[~(row <= front).all(axis=1)], row])


def non_dominated_ranks(losses: ArrayLike) -> NDArray[np.int64]:
    """Return the rank of each row, shape ``(n,)``; equal rows have the same.

    The rank is 0 for rows that nothing dominates, and k for those that nothing dominates once
    ranks below k are taken away (Deb et al. 2002, https://doi.org/10.1109/4235.996017).

    Args:
        losses: Shape ``(n, m)``.
    """
    import moocore

    return np.asarray(moocore.pareto_rank(_rows(losses)), dtype=np.int64)


def crowding_distances(losses: ArrayLike) -> NDArray[np.float64]:
    """Return how lonely each row is, shape ``(n,)``: infinite for an end of an objective's range.

    For the others, the distance between both neighbours, as a fraction of the range, summed over
    the objectives (Deb et al. 2002). Of equal rows the first is meant; the others have 0, for they
    add nothing to a front. An objective in which all rows are equal does not count.

    Args:
        losses: Shape ``(n, m)``, of rows of one rank.
    """
    rows = _rows(losses)
    everyone = np.zeros(len(rows))
    rows, first = np.unique(rows, axis=0, return_index=True)
    distances = np.full(len(rows), np.inf if len(rows) == 1 else 0.0)
    for column in rows.T:
        order = np.argsort(column, kind="stable")
        values = column[order]
        if len(values) and (span := values[-1] - values[0]) > 0:
            distances[order[1:-1]] += (values[2:] - values[:-2]) / span
            distances[order[[0, -1]]] = np.inf
    everyone[first] = distances
    return everyone


def hypervolume(losses: ArrayLike, reference: ArrayLike) -> float:
    """Return the volume that the rows dominate within the reference point, exactly.

    It is 0.0 where no row is below the reference in every objective; those that are not add nothing
    (Zitzler and Thiele 1998, https://doi.org/10.1007/BFb0056872).

    Args:
        losses: Shape ``(n, m)``.
        reference: Shape ``(m,)``; the worst that still counts.
    """
    import moocore

    return float(moocore.hypervolume(_rows(losses), ref=np.asarray(reference, dtype=np.float64)))


def _rows(losses: ArrayLike) -> NDArray[np.float64]:
    rows = np.asarray(losses, dtype=np.float64)
    if rows.ndim != 2:
        raise ConfigurationError(f"losses have shape {rows.shape}; allowed: (rows, objectives)")
    return rows
