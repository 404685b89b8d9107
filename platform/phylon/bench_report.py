"""What a bench prints: tables for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from phylon.bench_results import Results
from phylon.bench_statistics import Floats, Mark, measures, summary

_NAME = 14  # columns for a strategy's name, at least
_GAP = (0, 1, 0, 0)  # above, right, below, left of a cell


def overview(results: Results) -> Group:
    """Return the tables of a bench: what was reached at the marks, and at what cost."""
    return Group(_heading(results), _marks_table(results), _costs_table(results), *_notes(results))


def _heading(results: Results) -> Text:
    bench = results.bench
    objectives = ", ".join(objective.metric for objective in bench.objectives)
    return Text(
        f"{bench.table.name}: {len(bench.table.texts)} architectures\n"
        f"objective: {objectives}; report: {bench.report}; studies: {bench.seeds} of each strategy"
    )


def _marks_table(results: Results) -> Table:
    first, second = measures(results.bench)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=_GAP)
    table.add_column("at", justify="right", no_wrap=True)
    table.add_column("strategy", overflow="fold", min_width=_NAME)
    compared = ["p"] if results.comparisons else []
    for name in (f"{first} ±std", "median", "quartiles", f"{second} ±std", *compared):
        table.add_column(name, justify="right", overflow="fold")
    p_values = {(each.strategy, each.mark): f"{each.p_holm:.2g}" for each in results.comparisons}
    every = dict.fromkeys(mark for series in results.series for mark in series.at)
    for mark in sorted(every, key=lambda mark: (mark.in_seconds, mark.amount)):
        at = {series.name: series.at[mark] for series in results.series if mark in series.at}
        for place, (name, values) in enumerate(at.items()):
            report = summary(values[first])
            cells = (
                _mean(values[first]),
                f"{report['median']:.4g}",
                f"{report['q25']:.4g} to {report['q75']:.4g}",
                _mean(values[second]),
                *([p_values.get((name, mark), "")] if results.comparisons else []),
            )
            table.add_row("" if place else _amount(mark), Text(name), *cells)
        table.add_section()
    return table


def _costs_table(results: Results) -> Table:
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, padding=_GAP, title="mean of a study", title_justify="left"
    )
    table.add_column("strategy", overflow="fold", min_width=_NAME)
    for name in ("unique", "duplicates", "missing", "seconds of the strategy"):
        table.add_column(name, justify="right")
    for series in results.series:
        counts = (series.unique, series.duplicates, series.missing)
        table.add_row(Text(series.name), *map("{:.1f}".format, counts), f"{series.seconds:.3f}")
    return table


def _notes(results: Results) -> Iterator[Text]:
    if results.comparisons:
        of, against = results.comparisons[0].measure, results.comparisons[0].against
        yield Text(
            f"p: Wilcoxon's signed-rank test of the {of} against {against}, in pairs by seed, "
            f"corrected for {len(results.comparisons)} comparisons"
        )
    if any(series.missing for series in results.series):
        yield Text(
            "missing: architectures that the table does not have; each was told as failed, and "
            "counts as an evaluation"
        )


def _amount(mark: Mark) -> str:
    return f"{mark.label} s" if mark.in_seconds else mark.label


def _mean(values: Floats) -> str:
    numbers = summary(values)
    return f"{numbers['mean']:.4g}±{numbers['std']:.2g}"
