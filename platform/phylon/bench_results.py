"""What came out of a bench: the trajectories, and the numbers that sum them up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, final

from phylon.bench_clock import Trajectory
from phylon.bench_setup import Bench
from phylon.bench_statistics import (
    Curves,
    Floats,
    Mark,
    at_mark,
    follow,
    holm,
    marks,
    measures,
    summary,
    wilcoxon,
)


@final
@dataclass(frozen=True, slots=True)
class Series:
    """The studies of one strategy, by seed.

    Attributes:
        name: The strategy as the user wrote it.
        trajectories: What each study evaluated.
        curves: What each had reached.
        at: The measures at each mark that all studies came to, each of shape ``(S,)``.
    """

    name: str
    trajectories: Sequence[Trajectory]
    curves: Sequence[Curves]
    at: Mapping[Mark, Mapping[str, Floats]]

    @property
    def unique(self) -> float:
        """Networks that a study evaluated, mean over the studies."""
        return fmean(trajectory.unique for trajectory in self.trajectories)

    @property
    def duplicates(self) -> float:
        """Evaluations of a network that the study had evaluated before, mean."""
        return fmean(len(trajectory.rows) for trajectory in self.trajectories) - self.unique

    @property
    def missing(self) -> float:
        """Evaluations of architectures that the table lacks, mean."""
        return fmean(len(trajectory.absent) for trajectory in self.trajectories)

    @property
    def seconds(self) -> float:
        """What a strategy itself took for all its asks and tells, mean."""
        return fmean(trajectory.seconds for trajectory in self.trajectories)


@final
@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether a strategy differs from the first one at a mark, in pairs of studies by seed.

    Attributes:
        strategy: Its name.
        against: The name of the first.
        mark: Where they are compared.
        measure: What is compared.
        difference: Mean of the strategy's value less that of the first.
        p: Of Wilcoxon's signed-rank test, two-sided.
        p_holm: The same, corrected for the number of comparisons in the bench.
    """

    strategy: str
    against: str
    mark: Mark
    measure: str
    difference: float
    p: float
    p_holm: float


@final
@dataclass(frozen=True, slots=True)
class Results:
    """All that is known after a bench.

    Attributes:
        bench: What was measured.
        series: The strategies in the order given.
        comparisons: Of all strategies but the first, with the first.
    """

    bench: Bench
    series: Sequence[Series]
    comparisons: Sequence[Comparison]

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain JSON data."""
        bench = self.bench
        objectives = [
            f"{objective.metric}:min" if objective.direction == "minimize" else objective.metric
            for objective in bench.objectives
        ]
        data: dict[str, Any] = {
            "table": bench.table.name,
            "objective": objectives[0] if len(objectives) == 1 else objectives,
            "report": bench.report,
            "budget": bench.problem.budget,
            "workers": bench.problem.workers,
            "architectures": len(bench.table.architectures),
            "strategies": [_series_json(bench, series) for series in self.series],
            "comparisons": [_comparison_json(each) for each in self.comparisons],
        }
        if len(objectives) > 1:
            pairs = zip(bench.objectives, bench.reference.tolist(), strict=True)
            data["reference"] = {
                each.metric: -loss if each.direction == "maximize" else loss for each, loss in pairs
            }
        return data


def evaluate(bench: Bench, trajectories: Sequence[Trajectory]) -> Results:
    """Sum up the studies of a bench.

    Args:
        bench: What was measured.
        trajectories: By strategy, then by seed.
    """
    series = []
    for place, contestant in enumerate(bench.contestants):
        own = trajectories[place * bench.seeds : (place + 1) * bench.seeds]
        series.append(_series(bench, contestant.name, own))
    return Results(bench, series, _compare(bench, series))


def _series(bench: Bench, name: str, trajectories: Sequence[Trajectory]) -> Series:
    curves = [follow(bench, trajectory) for trajectory in trajectories]
    at: dict[Mark, dict[str, Floats]] = {}
    for mark in marks(bench, trajectories):
        values = {m: at_mark(mark, m, trajectories, curves) for m in measures(bench)}
        reached = {measure: each for measure, each in values.items() if each is not None}
        if len(reached) == len(values):
            at[mark] = reached
    return Series(name, trajectories, curves, at)


def _compare(bench: Bench, series: Sequence[Series]) -> list[Comparison]:
    """Compare at every mark of the budget's own unit, by the report or by the hypervolume."""
    measure = "report" if len(bench.objectives) == 1 else "hypervolume"
    first, *others = series
    in_seconds = bench.problem.durations is not None
    pairs = [
        (other.name, mark, other.at[mark][measure], first.at[mark][measure])
        for other in others
        for mark in first.at
        if mark in other.at and mark.in_seconds == in_seconds
    ]
    p_values = [wilcoxon(values, against) for _, _, values, against in pairs]
    return [
        Comparison(name, first.name, mark, measure, float((values - against).mean()), p, p_holm)
        for (name, mark, values, against), p, p_holm in zip(
            pairs, p_values, holm(p_values), strict=True
        )
    ]


def _series_json(bench: Bench, series: Series) -> dict[str, Any]:
    def at(*, in_seconds: bool) -> dict[str, Any]:
        return {
            mark.label: {measure: summary(each) for measure, each in values.items()}
            for mark, values in series.at.items()
            if mark.in_seconds == in_seconds
        }

    contestant = next(each for each in bench.contestants if each.name == series.name)
    data = {
        "name": series.name,
        "params": dict(contestant.params),
        "seeds": bench.seeds,
        "at": at(in_seconds=False),
        "unique": series.unique,
        "duplicates": series.duplicates,
        "missing": series.missing,
        "strategy_seconds": series.seconds,
    }
    if bench.problem.durations is not None:
        data["at_seconds"] = at(in_seconds=True)
    return data


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    return {
        "strategy": comparison.strategy,
        "against": comparison.against,
        "at": comparison.mark.label,
        "unit": "seconds" if comparison.mark.in_seconds else "evaluations",
        "measure": comparison.measure,
        "difference": comparison.difference,
        "p": comparison.p,
        "p_holm": comparison.p_holm,
    }
