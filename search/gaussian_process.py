"""An exact Gaussian process with a Matérn kernel, for up to some hundred points."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

LENGTHS = (0.5, 1.0, 2.0)
"""Length scales that are tried, in the unit of distance that the points are given in."""

NOISES = (1e-3, 1e-2, 1e-1)
"""Noise variances that are tried, as fractions of the signal's."""

POWERS = (0.0, 0.5, 1.0)
"""Powers that are tried of the correlation of a column with the values, as its factor."""

TUNED = 150
"""The likelihood is that of so many values at most, evenly spaced among all, to save time."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a Gaussian process assumes.

    Attributes:
        length: How far values hang together.
        noise: Variance of the noise, as a fraction of the signal's.
        power: How much more those columns count that go with the values; 0 if all count alike.
    """

    length: float
    noise: float
    power: float


@final
class GaussianProcess:
    """The posterior of a Gaussian process of mean 0 (Rasmussen and Williams 2006, algorithm 2.1).

    Its kernel is that of Matérn with smoothness 5/2. In what follows, n is the number of points, d
    that of columns. The variance of the signal is the one that makes the values likeliest.

    Args:
        x: Points, shape ``(n, d)``.
        y: Their values, shape ``(n,)``.
        extra: Noise of each point besides the setting's, as a fraction of the signal's variance,
            shape ``(n,)``.
        setting: What to assume.

    Attributes:
        likelihood: Logarithm of the likelihood of the values, but for a constant.
    """

    def __init__(self, x: Floats, y: Floats, extra: Floats, setting: Setting) -> None:
        from scipy.linalg import cho_solve

        self._y = y
        self._setting = setting
        self._factors = _relevance(x, y) ** setting.power
        self._factors *= _spread(x) / (_spread(x * self._factors) or 1.0)
        self._x = x * self._factors
        kernel = self._kernel(self._x, self._x)
        kernel[np.diag_indices(len(y))] += setting.noise + extra
        self._factor = _cholesky(kernel)
        self._weights = cho_solve((self._factor, True), y)
        self._variance = max(float(y @ self._weights) / len(y), 1e-12)
        spread = 0.5 * len(y) * np.log(self._variance)
        self.likelihood = float(-spread - np.log(np.diag(self._factor)).sum())

    @classmethod
    def likeliest(cls, x: Floats, y: Floats, extra: Floats) -> Setting:
        """Return the setting, of those that are tried, under which the values are likeliest."""
        few = slice(None, None, -(-len(y) // TUNED))
        x, y, extra = x[few], y[few], extra[few]
        settings = itertools.starmap(Setting, itertools.product(LENGTHS, NOISES, POWERS))
        return max(settings, key=lambda each: cls(x, y, extra, each).likelihood)

    def predict(self, x: Floats, pending: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the noise-free values at the points.

        Args:
            x: Points, shape ``(k, d)``.
            pending: Points, shape ``(p, d)``, that will soon be measured. They are taken to turn
                out as expected: means stay, but what is near them is less unknown (the kriging
                believer of Ginsbourger et al. 2010, https://doi.org/10.1007/978-3-642-10701-6_6).

        Returns:
            Two arrays of shape ``(k,)``.
        """
        from scipy.linalg import solve_triangular

        x, pending = x * self._factors, pending * self._factors
        cross = self._kernel(self._x, x)
        known = solve_triangular(self._factor, cross, lower=True)
        variance = 1.0 - np.square(known).sum(axis=0)
        if len(pending):
            near = solve_triangular(self._factor, self._kernel(self._x, pending), lower=True)
            among = self._kernel(pending, pending) - near.T @ near
            among[np.diag_indices(len(pending))] += self._setting.noise
            rest = self._kernel(pending, x) - near.T @ known
            soon = solve_triangular(_cholesky(among), rest, lower=True)
            variance -= np.square(soon).sum(axis=0)
        return cross.T @ self._weights, np.sqrt(np.maximum(variance, 0.0) * self._variance)

    def left_out(self) -> Floats:
        """Return what each value is expected to be from all others (equation 5.12), shape (n,)."""
        from scipy.linalg import solve_triangular

        inverse = solve_triangular(self._factor, np.eye(len(self._y)), lower=True)
        return np.asarray(self._y - self._weights / np.square(inverse).sum(axis=0))

    def _kernel(self, a: Floats, b: Floats) -> Floats:
        squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * (a @ b.T)
        far = np.sqrt(5 * np.maximum(squares, 0.0)) / self._setting.length
        return np.asarray((1 + far + np.square(far) / 3) * np.exp(-far))


def _relevance(x: Floats, y: Floats) -> Floats:
    """Return how well a straight line or a parabola in each column tells the values, in (0, 1]."""
    values = y - y.mean()
    best = np.zeros(x.shape[1])
    for columns in (x, np.square(x)):
        centred = columns - columns.mean(axis=0)
        scale = np.sqrt(np.square(centred).sum(axis=0) * (values @ values))
        found = np.abs(values @ centred) / np.maximum(scale, 1e-9)
        best = np.maximum(best, np.where(scale > 1e-9, found, 0.0))
    return best + 1e-3


def _spread(x: Floats) -> float:
    return float(np.sqrt(x.var(axis=0).sum()))


def _cholesky(matrix: Floats) -> Floats:
    from scipy.linalg import cholesky

    return np.asarray(cholesky(matrix, lower=True))
