"""What came out of a comparison: each group's numbers, and whether differences are chance.

Symbols: ``S`` studies of a group.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, median_low
from typing import final

import numpy as np

from phylon.bench_statistics import holm, wilcoxon
from phylon.compare_curves import (
    Currency,
    Curve,
    Floats,
    Scale,
    common_currency,
    common_scale,
    follow,
)
from phylon.compare_studies import Group, caveats, name_of, read_groups, seed_of
from phylon.errors import ConfigurationError
from phylon.history import History
from phylon.search.bootstrap import mean_interval

FEWEST_PAIRS = 5
"""With fewer, the smallest p that a signed-rank test can give is 0.125."""


@final
@dataclass(frozen=True, slots=True)
class Standing:
    """A group, and how it did.

    Attributes:
        group: The studies.
        curves: What each of them had reached by when.
        best: Of each study after the same number of candidates; NaN if it has none, ``(S,)``.
        reached: Of each study, candidates and cost until the target; infinite if never.
    """

    group: Group
    curves: tuple[Curve, ...]
    best: Floats
    reached: tuple[tuple[float, float], ...]

    @property
    def typical(self) -> tuple[float, float]:
        """Candidates and cost until half of the studies had reached the target."""
        candidates, costs = zip(*self.reached, strict=True)
        return median_low(candidates), median_low(costs)

    @property
    def arrived(self) -> int:
        """How many studies reached the target."""
        return sum(math.isfinite(candidates) for candidates, _ in self.reached)

    @property
    def found(self) -> list[float]:
        """The best of the studies that have one."""
        return [value for value in self.best.tolist() if not math.isnan(value)]


@final
@dataclass(frozen=True, slots=True)
class Paired:
    """How a group differs from the first one, in pairs of studies with equal seeds.

    Attributes:
        label: The group.
        pairs: How many there are.
        difference: Mean of the group's best less that of the first; None without pairs.
        interval: Its 95 % interval by Student's t; None with fewer than two pairs.
        p: Of Wilcoxon's signed-rank test, two-sided; None with fewer than `FEWEST_PAIRS`.
        p_holm: The same, corrected for the number of tests.
    """

    label: str
    pairs: int
    difference: float | None
    interval: tuple[float, float] | None
    p: float | None
    p_holm: float | None


@final
@dataclass(frozen=True, slots=True)
class Comparison:
    """All that is known after a comparison.

    Attributes:
        scale: What studies are measured by.
        currency: What cost is counted in.
        candidates: After how many the best of each study is compared: as many as all have.
        target: The value whose cost is told; None if no group has a result.
        target_is_given: Whether the user named it.
        standings: The groups in the order of their first study.
        tests: Of all groups but the first, with the first.
        notes: What a reader has to know.
    """

    scale: Scale
    currency: Currency
    candidates: int
    target: float | None
    target_is_given: bool
    standings: tuple[Standing, ...]
    tests: tuple[Paired, ...]
    notes: tuple[str, ...]


def compare(places: Sequence[str], target: float | None = None) -> Comparison:
    """Compare studies.

    Args:
        places: Their folders or URIs, at least two.
        target: The value whose cost is told; unless given, what half of the studies of the worst
            group reach.

    Raises:
        ConfigurationError: They cannot be compared.
        StudyError: One is no study.
        JournalError: A journal is damaged.
    """
    if target is not None and not math.isfinite(target):
        raise ConfigurationError(f"--target is {target}; allowed: a finite number")
    groups = read_groups(places)
    states = [study.state for group in groups for study in group.studies]
    scale, currency = common_scale(states), common_currency(states)
    followed = partial(follow, scale=scale, currency=currency)
    curves = [tuple(followed(study.state) for study in group.studies) for group in groups]
    lengths = [len(curve.values) for own in curves for curve in own if curve.found]
    candidates = min(lengths, default=0)
    goal = _worst(curves, scale.sign) if target is None else target
    standings = tuple(
        Standing(
            group,
            own,
            np.array([curve.after(candidates) for curve in own]),
            tuple(_reach(curve, goal, scale.sign) for curve in own),
        )
        for group, own in zip(groups, curves, strict=True)
    )
    notes = (*caveats(groups), *_of_kinds(groups, scale))
    return Comparison(
        scale=scale,
        currency=currency,
        candidates=candidates,
        target=goal,
        target_is_given=target is not None,
        standings=standings,
        tests=_tests(standings),
        notes=notes,
    )


def tested(study: History) -> Mapping[str, float]:
    """Return what a study's winner gave on the test split, mean over its trainings."""
    found = study.state.tested.metrics if study.state.tested else {}
    return {metric: fmean(values) for metric, values in found.items()}


def cost_of(study: History, currency: Currency) -> float:
    """Return what all candidates of a study cost, those of the final phase too."""
    return sum(currency.cost(record) for record in study.state.records.values())


def _reach(curve: Curve, target: float | None, sign: int) -> tuple[float, float]:
    return (math.inf, math.inf) if target is None else curve.reach(target, sign)


def _worst(curves: Sequence[Sequence[Curve]], sign: int) -> float | None:
    """Return what half of the studies of a group end with at least, of the worst group."""
    ends = [[sign * float(curve.values[-1]) for curve in own if curve.found] for own in curves]
    worst = max((median_low(own) for own in ends if own), default=None)
    return None if worst is None else sign * worst


def _of_kinds(groups: Sequence[Group], scale: Scale) -> Iterator[str]:
    """Yield what is to be said of scores with shared weights, and of promotions."""
    studies = [study for group in groups for study in group.studies]
    if scale.scored:
        yield "All values are scores with shared weights: nothing was trained on its own."
        return
    for study in studies:
        ranking = study.state.ranking("search")
        if ranking and ranking[0].candidate.is_scored:
            yield (
                f"Study {name_of(study)} only scored its candidates with shared weights; that is "
                f"on another scale than trainings, so it has no values here."
            )
    if any(r.candidate.continues is not None for s in studies for r in s.state.records.values()):
        yield (
            "Some candidates were stopped early. A network that was trained for longer comes "
            "before others, so a best so far may fall."
        )


def _tests(standings: Sequence[Standing]) -> tuple[Paired, ...]:
    first, *others = standings
    differences = [_differences(other, first) for other in others]
    p_values = [
        wilcoxon(each, np.zeros(len(each))) if len(each) >= FEWEST_PAIRS else None
        for each in differences
    ]
    corrected = iter(holm([p for p in p_values if p is not None]))
    return tuple(
        Paired(
            other.group.label,
            len(each),
            float(each.mean()) if len(each) else None,
            mean_interval(each) if len(each) > 1 else None,
            p,
            None if p is None else next(corrected),
        )
        for other, each, p in zip(others, differences, p_values, strict=True)
    )


def _differences(standing: Standing, first: Standing) -> Floats:
    """Return the differences between the best of both at each seed that both have."""
    ours, theirs = _by_seed(standing), _by_seed(first)
    return np.array([ours[seed] - theirs[seed] for seed in sorted(ours) if seed in theirs])


def _by_seed(standing: Standing) -> dict[int, float]:
    """Return the best at each seed, mean over the studies that have it."""
    values: dict[int, list[float]] = {}
    for study, value in zip(standing.group.studies, standing.best.tolist(), strict=True):
        if not math.isnan(value):
            values.setdefault(seed_of(study), []).append(value)
    return {seed: fmean(own) for seed, own in values.items()}
