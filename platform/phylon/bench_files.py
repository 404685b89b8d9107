"""The files that a bench leaves behind: every trajectory as Parquet, and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from phylon.bench_clock import MISSING, Trajectory
from phylon.bench_results import Results, Series
from phylon.bench_statistics import Curves, Floats, Mark, at_mark, measures
from phylon.errors import ConfigurationError
from phylon.lineage import save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAJECTORIES, PLOT = "trajectories.parquet", "bench.png"
_POINTS = 200  # of a curve over simulated seconds


def make_folder(folder: Path) -> None:
    """Make the folder for the files, unless it is there.

    Raises:
        ConfigurationError: It cannot be made, or not be written to.
    """
    probe = folder / f".{TRAJECTORIES}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigurationError(f"--out {folder}: {error.strerror or error}") from None


def write_files(results: Results, folder: Path) -> None:
    """Write the trajectories and the plot.

    Raises:
        ConfigurationError: They cannot be written there.
    """
    save(trajectories_table(results), folder / TRAJECTORIES)
    _plot(results, folder / PLOT)


def trajectories_table(results: Results) -> pa.Table:
    """Return a row for each evaluation, by strategy and seed, in the order in which they ended.

    Columns: `strategy`, `seed`, `evaluation` (from 1), `candidate` (from 0, in the order of
    asking), `architecture`, `seconds` (simulated, at its end; where the table tells no durations,
    in mean evaluations), the value of each objective (null if the table lacks the architecture),
    and of the incumbent after it: `incumbent`, its first objective, and the measures.
    """
    parts = [
        _study_table(results, series.name, seed, trajectory, curves)
        for series in results.series
        for seed, (trajectory, curves) in enumerate(
            zip(series.trajectories, series.curves, strict=True)
        )
    ]
    return pa.concat_tables(parts)


def _study_table(
    results: Results, name: str, seed: int, trajectory: Trajectory, curves: Curves
) -> pa.Table:
    bench, rows = results.bench, trajectory.rows
    n = len(rows)
    write, texts = bench.table.notation.write, bench.table.texts
    architectures = [
        write(trajectory.absent[place]) if row == MISSING else texts[row]
        for place, row in enumerate(rows.tolist())
    ]
    columns = {
        "strategy": pa.array([name] * n, pa.string()),
        "seed": pa.array([seed] * n, pa.int32()),
        "evaluation": pa.array(np.arange(1, n + 1), pa.int32()),
        "candidate": pa.array(trajectory.candidates, pa.int32()),
        "architecture": pa.array(architectures, pa.string()),
        "seconds": pa.array(trajectory.ends),
    }
    for objective in bench.objectives:
        values = bench.table.column(objective.metric)
        column = "objective" if len(bench.objectives) == 1 else f"objective {objective.metric}"
        columns[column] = _numbers(np.where(rows == MISSING, np.nan, values[rows]))
    first = bench.table.column(bench.objectives[0].metric)
    found = np.where(curves.incumbents == MISSING, np.nan, first[curves.incumbents])
    columns["incumbent"] = _numbers(found)
    columns |= {measure: _numbers(curves.values[measure]) for measure in measures(bench)}
    return pa.table(columns)


def _numbers(values: Floats) -> pa.Array:
    return pa.array(values, from_pandas=True)


def _plot(results: Results, file: Path) -> None:
    """Draw median and quartile band of both measures of every strategy."""
    from matplotlib.figure import Figure

    both = measures(results.bench)
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, measure in zip(figure.subplots(1, 2), both, strict=True):
        for series in results.series:
            _draw(axes, results, series, measure)
        is_timed = results.bench.problem.durations is not None
        axes.set_xlabel("simulated seconds" if is_timed else "evaluations")
        axes.set_ylabel(results.bench.report if measure == "report" else measure)
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    figure.suptitle(f"median and quartiles of {results.bench.seeds} seeds")
    try:
        figure.savefig(file, dpi=150)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror or error}") from None


def _draw(axes: Axes, results: Results, series: Series, measure: str) -> None:
    problem = results.bench.problem
    is_timed = problem.durations is not None
    begin = problem.budget / 10  # what is before that would hide the differences after it
    amounts = (
        np.linspace(begin, problem.budget, _POINTS)
        if is_timed
        else np.arange(np.ceil(begin), problem.budget + 1)
    )
    points = [Mark(float(amount), in_seconds=is_timed) for amount in amounts]
    bands = np.full((len(points), 3), np.nan)
    for place, mark in enumerate(points):
        values = at_mark(mark, measure, series.trajectories, series.curves)
        if values is not None:
            bands[place] = np.percentile(values, [25, 50, 75])
    (line,) = axes.plot(amounts, bands[:, 1], label=series.name)
    axes.fill_between(amounts, bands[:, 0], bands[:, 2], color=line.get_color(), alpha=0.2)
