"""The tables of a comparison, for the terminal and for the page."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, final

from rich.console import Group as Together
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from phylon.compare_curves import CPU_HOURS, GPU_HOURS
from phylon.compare_results import FEWEST_PAIRS, Comparison, Paired, Standing, cost_of, tested
from phylon.compare_studies import name_of, seed_of
from phylon.leaderboard import mean_and_spread, plain_table
from phylon.progress import clock


@final
@dataclass(frozen=True, slots=True)
class Grid:
    """A table as text; its first column says what a row is about.

    Attributes:
        anchor: What links to it name.
        title: What it is about.
        headings: Of each column.
        rows: Cells in the order of the headings.
        note: How the numbers came about; empty if that is plain.
        words: Headings of columns besides the first that hold no numbers.
    """

    anchor: str
    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    words: Collection[str] = ()

    @property
    def numbers(self) -> list[str]:
        """Headings of the columns that hold numbers."""
        return [heading for heading in self.headings[1:] if heading not in self.words]


def overview(comparison: Comparison) -> RenderableType:
    """Return the comparison for a terminal."""
    parts: list[RenderableType] = []
    is_one_group = len(comparison.standings) == 1
    for grid in (*grids(comparison), *([studies_grid(comparison)] if is_one_group else [])):
        table = plain_table(grid.title)
        for heading in grid.headings:
            side: Literal["left", "right"] = "right" if heading in grid.numbers else "left"
            table.add_column(Text(heading), justify=side, overflow="fold")
        for row in grid.rows:
            table.add_row(*map(Text, row))
        parts.append(table)
        if grid.note:
            parts.append(Padding(Text(grid.note, style="dim"), (0, 0, 1, 0)))
    parts += [Text(note, style="yellow") for note in comparison.notes]
    return Together(*parts)


def grids(comparison: Comparison) -> Iterator[Grid]:
    """Yield the tables."""
    yield _best(comparison)
    yield _costs(comparison)
    if comparison.target is not None:
        yield _target(comparison, comparison.target)
    if comparison.tests:
        yield _tests(comparison)
    if any(key != "strategy.name" for each in comparison.standings for key in each.group.settings):
        yield _settings(comparison)


def studies_grid(comparison: Comparison) -> Grid:
    """Return a table with a row for each study."""
    rows = [
        (
            standing.group.label,
            name_of(study),
            str(seed_of(study)),
            _spread_of([value] if not math.isnan(value) else []),
            str(study.state.completed),
            str(study.state.failed),
            str(study.location),
        )
        for standing in comparison.standings
        for study, value in zip(standing.group.studies, standing.best.tolist(), strict=True)
    ]
    headings = ("group", "study", "seed", _measure(comparison), "completed", "failed", "folder")
    return Grid("studies", "All studies", headings, tuple(rows), words=("study", "folder"))


def _measure(comparison: Comparison) -> str:
    scale, count = comparison.scale, comparison.candidates
    return f"{scale.name} {'↓' if scale.sign > 0 else '↑'}" + (f" after {count}" if count else "")


def _best(comparison: Comparison) -> Grid:
    standings = comparison.standings
    curves = [curve for standing in standings for curve in standing.curves if curve.found]
    goes_on = any(len(curve.values) > comparison.candidates for curve in curves)
    results = [[tested(study) for study in each.group.studies] for each in standings]
    metrics = dict.fromkeys(metric for own in results for found in own for metric in found)
    rows = []
    for standing, own in zip(standings, results, strict=True):
        ends = [float(curve.values[-1]) for curve in standing.curves if curve.found]
        columns = [standing.found, *([ends] if goes_on else [])]
        columns += [[found[m] for found in own if m in found] for m in metrics]
        count = str(len(standing.group.studies))
        rows.append((standing.group.label, count, *map(_spread_of, columns)))
    headings = ("group", "studies", _measure(comparison), *(["at the end"] if goes_on else []))
    note = "Mean and standard deviation over the studies of a group."
    if goes_on:
        note += f" All have {comparison.candidates} candidates; some go on after that."
    if metrics:
        note += " Test results are of the winners, after the final phase if there was one."
    note += _hypervolume_note(comparison)
    return Grid("best", "Best found", (*headings, *metrics), tuple(rows), note)


def _hypervolume_note(comparison: Comparison) -> str:
    point = comparison.scale.reference_metrics
    if point is None:
        return ""
    words = ", ".join(f"{metric} {value:.4g}" for metric, value in point.items())
    return (
        f" Hypervolumes end at {words} (the worst but for 1 % of all candidates), as a share of "
        f"what all studies together dominate."
    )


def _costs(comparison: Comparison) -> Grid:
    studies = [study for standing in comparison.standings for study in standing.group.studies]
    has_gpus = any(cost_of(study, GPU_HOURS) for study in studies)
    units = (CPU_HOURS, GPU_HOURS) if has_gpus else (CPU_HOURS,)

    def row(standing: Standing) -> tuple[str, ...]:
        own = standing.group.studies
        counts = (
            fmean(study.state.ended for study in own),
            fmean(study.state.failed for study in own),
            *(fmean(cost_of(study, unit) for study in own) for unit in units),
        )
        wall = clock(fmean(study.state.seconds for study in own))
        return (standing.group.label, *map("{:.4g}".format, counts), wall)

    headings = ("group", "candidates", "failed", *(unit.label for unit in units), "time")
    note = "Final phase and shared weights included; time is that of the drivers."
    return Grid(
        "cost", "Cost: mean of a study", headings, tuple(map(row, comparison.standings)), note
    )


def _target(comparison: Comparison, target: float) -> Grid:
    def row(standing: Standing) -> tuple[str, ...]:
        candidates, cost = standing.typical
        reached = f"{standing.arrived} of {len(standing.group.studies)}"
        return (standing.group.label, reached, _unless_never(candidates), _unless_never(cost))

    chosen = "" if comparison.target_is_given else (
        " The target is what half of the studies of the worst group end with, or better."
    )  # fmt: skip
    return Grid(
        "target",
        f"To reach {comparison.scale.name} {target:.6g}",
        ("group", "reached by", "candidates", comparison.currency.label),
        tuple(map(row, comparison.standings)),
        f"Candidates and cost by which half of a group's studies were there.{chosen}",
    )


def _tests(comparison: Comparison) -> Grid:
    against = comparison.standings[0].group.label
    count = sum(test.p is not None for test in comparison.tests)
    corrected = f", corrected for {count} tests (Holm)" if count > 1 else ""
    note = (
        f"{comparison.scale.name} after {comparison.candidates} candidates, less that of "
        f"{against}, in pairs of equal seeds; intervals by Student's t. p: Wilcoxon's signed-rank "
        f"test, two-sided{corrected}; it takes at least "
        f"{FEWEST_PAIRS} pairs."
    )
    headings = ("group", "pairs", "difference", "95 % interval", "p", "corrected p")
    return Grid("tests", f"Against {against}", headings, tuple(map(_row, comparison.tests)), note)


def _settings(comparison: Comparison) -> Grid:
    groups = [standing.group for standing in comparison.standings]
    keys = dict.fromkeys(key for group in groups for key in group.settings)
    rows = [(key, *(str(group.settings.get(key, "")) for group in groups)) for key in keys]
    labels = tuple(group.label for group in groups)
    return Grid("settings", "What differs", ("setting", *labels), tuple(rows), words=labels)


def _row(test: Paired) -> tuple[str, ...]:
    difference = "" if test.difference is None else f"{test.difference:+.4g}"
    interval = "{:+.4g} to {:+.4g}".format(*test.interval) if test.interval else ""
    p, p_holm = ("" if each is None else f"{each:.2g}" for each in (test.p, test.p_holm))
    return (test.label, str(test.pairs), difference, interval, p or "too few pairs", p_holm)


def _spread_of(values: Sequence[float]) -> str:
    return mean_and_spread(values) if values else ""


def _unless_never(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "not reached"
