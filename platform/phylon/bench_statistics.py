"""Numbers over the seeds of a bench: what was reached when, and whether the difference is chance.

Symbols: ``n`` evaluations of a study, ``S`` seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from phylon.bench_clock import MISSING, Trajectory
from phylon.bench_setup import Bench
from phylon.search.pareto import grown, hypervolume

_MARKS = (20, 50, 100, 150, 300)

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True, slots=True)
class Mark:
    """A point of all studies at which they are compared.

    Attributes:
        amount: How much of the budget is spent by then.
        in_seconds: Whether that is simulated seconds, or else evaluations.
    """

    amount: float
    in_seconds: bool = False

    @property
    def label(self) -> str:
        """The amount as text: ``50``."""
        return f"{self.amount:.10g}"

    def place(self, trajectory: Trajectory) -> int:
        """Return the index of the last evaluation until then; -1 if there is none."""
        if self.in_seconds:
            return int(np.searchsorted(trajectory.ends, self.amount, side="right")) - 1
        return min(int(self.amount), len(trajectory.rows)) - 1


@final
@dataclass(frozen=True, slots=True)
class Curves:
    """What a study had reached after each evaluation; NaN before it had found anything.

    Attributes:
        incumbents: The rows of the best architecture so far, shape ``(n,)``; the first of equals.
        values: By measure, each of shape ``(n,)``: ``report``, and ``regret`` or ``hypervolume``.
    """

    incumbents: NDArray[np.int64]
    values: dict[str, Floats]


def measures(bench: Bench) -> tuple[str, str]:
    """Return the names of what is told of each study."""
    return ("report", "regret" if len(bench.objectives) == 1 else "hypervolume")


def follow(bench: Bench, trajectory: Trajectory) -> Curves:
    """Return what a study had reached after each of its evaluations."""
    incumbents = _incumbents(trajectory.rows, bench.problem.losses[:, 0])
    values = {"report": _taken(bench.reported, incumbents)}
    if len(bench.objectives) == 1:
        losses = bench.problem.losses[:, 0]
        values["regret"] = _taken(losses, incumbents) - losses.min()
    else:
        values["hypervolume"] = _hypervolumes(bench, trajectory.rows)
    return Curves(incumbents, values)


def marks(bench: Bench, trajectories: Sequence[Trajectory]) -> list[Mark]:
    """Return the marks in evaluations, and in seconds if the budget is; as far as all came."""
    budget = bench.problem.budget
    if bench.problem.durations is None:
        amounts = sorted({*(mark for mark in _MARKS if mark < budget), budget})
        return [Mark(amount) for amount in amounts]
    shortest = min(len(trajectory.rows) for trajectory in trajectories)
    counted = [Mark(mark) for mark in _MARKS if mark <= shortest]
    return counted + [Mark(budget * quarter / 4, in_seconds=True) for quarter in range(1, 5)]


def at_mark(
    mark: Mark, measure: str, trajectories: Sequence[Trajectory], curves: Sequence[Curves]
) -> Floats | None:
    """Return a measure at a mark, shape ``(S,)``; None if a study had found nothing by then."""
    values = np.full(len(curves), np.nan)
    for seed, (trajectory, curve) in enumerate(zip(trajectories, curves, strict=True)):
        if (place := mark.place(trajectory)) >= 0:
            values[seed] = curve.values[measure][place]
    return None if np.isnan(values).any() else values


def summary(values: Floats) -> dict[str, float]:
    """Return mean, standard deviation (with divisor ``S``), median and quartiles."""
    q25, median, q75 = np.percentile(values, [25, 50, 75]).tolist()
    mean, std = float(values.mean()), float(values.std())
    return {"mean": mean, "std": std, "median": median, "q25": q25, "q75": q75}


def wilcoxon(values: Floats, against: Floats) -> float:
    """Return the two-sided p of the signed-rank test (Wilcoxon 1945) over pairs of equal seeds.

    Pairs without a difference are left out; if there are no others, p is 1.
    """
    from scipy import stats

    differences = values - against
    differences = differences[differences != 0]
    return float(stats.wilcoxon(differences).pvalue) if len(differences) else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1.0)
    result = np.empty(len(p_values))
    result[order] = corrected
    numbers: list[float] = result.tolist()
    return numbers


def _incumbents(rows: NDArray[np.int64], losses: Floats) -> NDArray[np.int64]:
    """Return the rows of the best so far, shape ``(n,)``; `MISSING` before there is one."""
    told = np.where(rows == MISSING, np.inf, losses[rows])
    before = np.concatenate([[np.inf], np.minimum.accumulate(told)[:-1]])
    places = np.maximum.accumulate(np.where(told < before, np.arange(len(rows)), -1))
    return np.where(places < 0, MISSING, rows[places])


def _taken(values: Floats, rows: NDArray[np.int64]) -> Floats:
    return np.where(rows == MISSING, np.nan, values[rows])


def _hypervolumes(bench: Bench, rows: NDArray[np.int64]) -> Floats:
    """Return the fraction of the true front's hypervolume after each evaluation, ``(n,)``."""
    front = np.empty((0, len(bench.objectives)))
    fraction = 0.0
    fractions = np.empty(len(rows))
    for place, row in enumerate(rows):
        before = front
        if row != MISSING:
            front = grown(front, bench.problem.losses[row])
        if front is not before:
            fraction = hypervolume(front, bench.reference) / bench.volume
        fractions[place] = fraction
    return fractions
