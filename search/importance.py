"""Which decisions of architectures their results hang on.

Symbols: `n` architectures, `d` decisions that are not the same in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from phylon.search.architecture import Scalar
from phylon.search.bootstrap import intervals
from phylon.search.forest import Floats, Forest
from phylon.search.ranks import normal_scores

LEAST = 20
"""Fewer results tell nothing of decisions."""
MOST = 2000
"""So many results are looked at, drawn at random where there are more."""
FOLDS, SHUFFLES = 5, 4
_ABSENT = -0.5
"""What stands for a decision that is not live; those that are lie between 0 and 1."""
_MISSING = object()
_BEARERS = ("type", "count")
"""Last parts of the names of decisions on which others hang."""

Ints: TypeAlias = NDArray[np.int64]
Names: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the variance of results, with the ends of its 95 % interval.

    Attributes:
        of: The decisions that make it.
        value: 0 for none. As an estimate, also a little less.
        low: Lower end.
        high: Upper end.
    """

    of: Names
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Importance:
    """What decisions explain of results.

    Attributes:
        seen: How many results were looked at.
        fit: What the model explains of results that it was not shown (R squared).
        decisions: What each decision has part in, the most first; shares may overlap.
        pair: What the first two have part in only together; None with fewer decisions.
    """

    seen: int
    fit: Share
    decisions: tuple[Share, ...]
    pair: Share | None

    @property
    def is_telling(self) -> bool:
        """Whether the model explains more than nothing, beyond chance; else all is noise."""
        return self.fit.low > 0


def importance(
    architectures: Sequence[Mapping[str, Scalar]], losses: Sequence[float], seed: int = 0
) -> Importance | None:
    """Tell by a model what decisions explain of the results of a search.

    Permutation importance (Breiman 2001, https://doi.org/10.1023/A:1010933404324) of a forest, on
    results that its trees were not shown: a decision is taken from another architecture, together
    with all that hangs on it and is missing here, so what the model is asked about could have been
    proposed. Half of what the squared error grows by, over the variance of results, is the share of
    variance that the decision has part in, alone or with others: its total effect (Homma and
    Saltelli 1996, https://doi.org/10.1016/0951-8320(96)00002-6), by as much too small as the model
    misses. By as much as two decisions exchanged together do less than both alone, they only have
    part in it together.

    Results are compared by their normal scores, so that neither the scale nor a few that went very
    wrong decide. Intervals are over architectures.

    Args:
        architectures: As `Architecture.flat`.
        losses: Finite, less is better, in the same order.
        seed: Draws architectures, folds and what is exchanged, and makes the trees.

    Returns:
        None if there are fewer than `LEAST` results, all are equal, or no decision has two values.
    """
    chosen = np.random.default_rng(seed).permutation(len(losses))[:MOST]
    names, x = tabulate([architectures[place] for place in chosen])
    y = np.array(normal_scores([(losses[place],) for place in chosen]))
    open_ones = [name for name, column in zip(names, x.T, strict=True) if column.max() > 0]
    if len(y) < LEAST or not open_ones or not np.ptp(y):
        return None
    model = _Model(names, x, y, seed)
    columns: dict[Names, Floats] = {(name,): model.part(name) for name in open_ones}
    ranking = sorted(columns, key=lambda each: -columns[each].mean())
    if len(ranking) > 1:
        pair = ranking[0] + ranking[1]
        columns[pair] = model.together(*pair)
    shares = _shares({(): model.explained(), **columns}, float(y.var()))
    fit, *parts = (shares[each] for each in ((), *ranking))
    return Importance(len(y), fit, tuple(parts), shares[pair] if len(ranking) > 1 else None)


class _Model:
    """Forests, each of which was shown all folds of the results but one.

    All methods return what each result contributes, shape ``(n,)``.

    Args:
        names: Of the decisions.
        x: What was decided, shape ``(n, d)``.
        y: Results, shape ``(n,)``.
        seed: Makes the trees, and draws what is exchanged.
    """

    def __init__(self, names: Sequence[str], x: Floats, y: Floats, seed: int) -> None:
        self._names, self._x, self._y = names, x, y
        self._rng = np.random.default_rng([seed, 1])
        folds = np.arange(len(y)) % FOLDS
        self._forests = [Forest(x[folds != i], y[folds != i], seed) for i in range(FOLDS)]
        self._errors = self._squared_errors(x[None])[0]

    def explained(self) -> Floats:
        """Return of results what forests that were not shown them know."""
        return np.asarray(self._y.var() - self._errors)

    def part(self, name: str) -> Floats:
        """Return what a decision has part in."""
        return self._growth(self._donors(name), name) / 2

    def together(self, one: str, other: str) -> Floats:
        """Return what two decisions have part in only together."""
        donors = self._donors(one, other)
        apart = self._growth(donors, one) + self._growth(donors, other)
        return (apart - self._growth(donors, one, other)) / 2

    def _donors(self, *names: str) -> Ints:
        """Draw from which row each takes decisions, ``(SHUFFLES, n)``; itself if it lacks one.

        A decision is only taken from where it hangs on the same branches: in others it may go by
        the same name and be another one.
        """
        columns = [self._names.index(name) for name in names]
        live = np.flatnonzero((self._x[:, columns] != _ABSENT).all(axis=1))
        above = [self._names.index(each) for name in names for each in bearers(self._names, name)]
        found: dict[tuple[float, ...], int] = {}
        rows = map(tuple, self._x[live][:, above].tolist())
        branches = np.array([found.setdefault(row, len(found)) for row in rows], dtype=np.int64)
        donors = np.tile(np.arange(len(self._y)), (SHUFFLES, 1))
        order = live[np.argsort(branches, kind="stable")]
        for shuffle in donors:
            chance = self._rng.random(len(live))
            shuffle[order] = live[np.lexsort((chance, branches))]
        return donors

    def _growth(self, donors: Ints, *names: str) -> Floats:
        """Return by how much squared errors grow where decisions are taken from donors."""
        x = np.tile(self._x, (SHUFFLES, 1))
        for name in names:
            x = exchanged(self._names, x, self._x[donors.ravel()], name)
        errors = self._squared_errors(x.reshape(SHUFFLES, *self._x.shape))
        return np.asarray(errors.mean(axis=0) - self._errors)

    def _squared_errors(self, x: Floats) -> Floats:
        """Return how wrong the forests are, ``(k, n)``, of so many tables ``(k, n, d)``."""
        told, none = np.empty(x.shape[:2]), np.empty((0, x.shape[2]))
        for fold, forest in enumerate(self._forests):
            rows = x[:, fold::FOLDS]
            means, _ = forest.predict(rows.reshape(-1, x.shape[2]), none)
            told[:, fold::FOLDS] = means.reshape(rows.shape[:2])
        return np.square(self._y - told)


def _shares(columns: Mapping[Names, Floats], variance: float) -> dict[Names, Share]:
    """Return the mean over results of what they contribute, as a share of their variance."""
    rows = np.stack(list(columns.values()), axis=1) / variance
    numbers = zip(columns, rows.mean(axis=0), *intervals(rows), strict=True)
    return {of: Share(of, float(mean), float(low), float(high)) for of, mean, low, high in numbers}


def bearers(names: Sequence[str], name: str) -> list[str]:
    """Return the choices of a branch, among `names`, on which a decision hangs."""
    return [
        each
        for each in names
        if each != name and each.endswith(".type") and name.startswith(each.removesuffix("type"))
    ]


def exchanged(names: Sequence[str], x: Floats, donors: Floats, name: str) -> Floats:
    """Return `x` with a decision of donors, and with what hangs on it as needed.

    With another branch comes all that it decides; with a longer list, the items that are missing.
    So every row is of the space if all in `x` and `donors` are.

    Args:
        names: Of the columns; see `tabulate`.
        x: Architectures that are to change, shape ``(k, d)``.
        donors: For each the one that it takes the decision from, shape ``(k, d)``.
        name: The decision; rows where it is not live, or hangs on other branches than in the donor,
            are their own donors.
    """
    x = x.copy()
    column = names.index(name)
    differs = x[:, column] != donors[:, column]
    stem, _, last = name.rpartition(".")
    items: dict[str, list[int]] = {}  # columns that hang together, by the item of a list
    for place, each in enumerate(names):
        if place != column and last in _BEARERS and each.startswith(f"{stem}."):
            item = each.removeprefix(f"{stem}.").partition(".")[0] if last == "count" else ""
            items.setdefault(item, []).append(place)
    x[:, column] = donors[:, column]
    for places in items.values():
        taken = differs
        if last == "count":
            has, had = ((each[:, places] != _ABSENT).any(axis=1) for each in (donors, x))
            taken = has != had
        x[np.ix_(taken, places)] = donors[np.ix_(taken, places)]
    return x


def tabulate(architectures: Sequence[Mapping[str, Scalar]]) -> tuple[list[str], Floats]:
    """Return the names of the decisions that are not all alike, and numbers for them, ``(n, d)``.

    Args:
        architectures: As `Architecture.flat`.
    """
    names, columns = [], []
    for name in dict.fromkeys(name for each in architectures for name in each):
        column = _column([each.get(name, _MISSING) for each in architectures])
        if np.ptp(column):
            names.append(name)
            columns.append(column)
    return names, np.array(columns).reshape(len(names), len(architectures)).T


def _column(values: Sequence[object]) -> Floats:
    """Return numbers by their rank, and others by that of their spelling, both from 0 to 1."""
    live = [value for value in values if value is not _MISSING]
    numbers = [value for value in live if type(value) in (int, float)]
    keys: Sequence[Any] = numbers if len(numbers) == len(live) else [repr(each) for each in live]
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    column = np.full(len(values), _ABSENT)
    column[[value is not _MISSING for value in values]] = [ranks[key] for key in keys]
    return np.where(column == _ABSENT, _ABSENT, column / max(len(ranks) - 1, 1))
