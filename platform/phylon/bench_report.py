"""What a bench prints: tables for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group
from rich.table import Table
from rich.text import Text

from phylon.bench_results import Results
from phylon.bench_statistics import Floats, Mark, measures, summary


def overview(results: Results) -> Group:
    """Return the tables of a bench: what was reached at the marks, and at what cost."""
    parts = [_marks_table(results), _costs_table(results), *_notes(results)]
    return Group(*parts)


def _marks_table(results: Results) -> Table:
    bench = results.bench
    first, second = measures(bench)
    what = ", ".join(objective.metric for objective in bench.objectives)
    table = Table(title=Text(f"{bench.table.name}: searched for {what}, {bench.seeds} seeds"))
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("strategy")
    table.add_column(f"{bench.report} mean ± std", justify="right")
    table.add_column("median (quartiles)", justify="right")
    table.add_column(f"{second} mean ± std", justify="right")
    if results.comparisons:
        table.add_column("p (Holm)", justify="right")
    p_values = {(each.strategy, each.mark): each.p_holm for each in results.comparisons}
    every = dict.fromkeys(mark for series in results.series for mark in series.at)
    for mark in sorted(every, key=lambda mark: (mark.in_seconds, mark.amount)):
        at = {each.name: each.at[mark] for each in results.series if mark in each.at}
        for place, (name, values) in enumerate(at.items()):
            p = p_values.get((name, mark))
            cells = [
                _amount(mark) if place == 0 else "",
                Text(name),
                _mean(values[first]),
                _median(values[first]),
                _mean(values[second]),
                *([] if not results.comparisons else ["" if p is None else f"{p:.2g}"]),
            ]
            table.add_row(*cells, end_section=place == len(at) - 1)
    return table


def _costs_table(results: Results) -> Table:
    table = Table(title="mean of a study")
    for name in ("strategy", "unique networks", "duplicates", "missing", "strategy's seconds"):
        table.add_column(name, justify="left" if name == "strategy" else "right")
    for series in results.series:
        counts = (f"{series.mean(each):.1f}" for each in ("unique", "duplicates", "missing"))
        table.add_row(Text(series.name), *counts, f"{series.mean('seconds'):.3f}")
    return table


def _notes(results: Results) -> Iterator[Text]:
    if results.comparisons:
        of, against = results.comparisons[0].measure, results.comparisons[0].against
        yield Text(
            f"p: Wilcoxon's signed-rank test of the {of} against {against}, in pairs by seed, "
            f"corrected for {len(results.comparisons)} comparisons"
        )
    if any(series.mean("missing") for series in results.series):
        yield Text(
            "missing: architectures that the table does not have; each was told as failed, and "
            "counts as an evaluation"
        )


def _amount(mark: Mark) -> str:
    return f"{mark.label} s" if mark.in_seconds else mark.label


def _mean(values: Floats) -> str:
    numbers = summary(values)
    return f"{numbers['mean']:.5g} ± {numbers['std']:.2g}"


def _median(values: Floats) -> str:
    numbers = summary(values)
    return f"{numbers['median']:.5g} ({numbers['q25']:.5g} to {numbers['q75']:.5g})"
