"""Bagged trees, for more points than a Gaussian process can take."""

from __future__ import annotations

from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

TREES = 40
"""How many trees there are."""


@final
class Forest:
    """Extremely randomised trees, each on its own bootstrap sample of the points.

    Geurts et al. 2006, https://doi.org/10.1007/s10994-006-6226-1. In what follows, n is the number
    of points, d that of columns.

    Args:
        x: Points, shape ``(n, d)``.
        y: Their values, shape ``(n,)``.
        seed: Makes the trees.
    """

    def __init__(self, x: Floats, y: Floats, seed: int) -> None:
        from sklearn.ensemble import ExtraTreesRegressor

        # A third of the columns at each split is the usual share for regression.
        self._trees = ExtraTreesRegressor(
            TREES,
            max_features=1 / 3,
            bootstrap=True,
            oob_score=True,
            random_state=seed % 2**32,  # scikit-learn takes no larger one
            n_jobs=1,
        ).fit(x, y)

    def predict(self, x: Floats, pending: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of what the trees say of the points.

        Args:
            x: Points, shape ``(k, d)``.
            pending: Points, shape ``(p, d)``, that will soon be measured. The more trees cannot
                tell a point from one of them, the less is unknown about it.

        Returns:
            Two arrays of shape ``(k,)``.
        """
        # What a tree does with any numbers, done once: its checks take as long as its answer.
        single = np.asarray(x, dtype=np.float32)
        trees = self._trees.estimators_
        told = np.stack([tree.predict(single, check_input=False) for tree in trees])
        deviation = told.std(axis=0)
        if len(pending):
            leaves, soon = self._trees.apply(x), self._trees.apply(pending)
            alike = (leaves[:, None] == soon).mean(axis=2).max(axis=1)
            deviation *= np.sqrt(1.0 - alike)
        return told.mean(axis=0), deviation

    def left_out(self) -> Floats:
        """Return what the trees that did not see a point say of it, shape ``(n,)``."""
        return np.asarray(self._trees.oob_prediction_)
