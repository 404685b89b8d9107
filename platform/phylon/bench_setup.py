"""From what the command line says to a bench that can run; all mistakes are found here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from phylon.bench_problem import Problem
from phylon.bench_proxies import read_proxies
from phylon.bench_strategy import Contestant
from phylon.bench_table import BenchTable
from phylon.errors import ConfigurationError
from phylon.search.objective import Objective
from phylon.search.pareto import hypervolume, pareto_front
from phylon.search.space import SearchSpace

_GOOD_SIDE = 99  # percentile of the losses that a reference point is put at


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A bench as it is typed.

    Attributes:
        tables: Parquet files of the same architectures.
        strategies: Names, each with parameters if wanted: ``name,key=value``.
        settings: Parameters of every strategy, as ``key=value``.
        objectives: Columns, to be maximised unless ``:min`` follows.
        report: The column to report of the incumbent; None for the first objective.
        budget: Evaluations of a study; or simulated seconds, with a time column.
        seeds: Studies of each strategy.
        space: The space's name, where the table does not tell it.
        time_column: Seconds of each evaluation.
        workers: Evaluations that run at a time.
        references: The worst that counts of objectives, as ``column=value``.
        proxies: A Parquet file of zero-cost proxies.
        distinct: Whether every row is a network of its own, see `SearchSpace.distinct`.
    """

    tables: Sequence[Path]
    strategies: Sequence[str]
    objectives: Sequence[str]
    budget: float
    seeds: int
    settings: Sequence[str] = ()
    report: str | None = None
    space: str | None = None
    time_column: str | None = None
    workers: int = 1
    references: Sequence[str] = ()
    proxies: Path | None = None
    distinct: bool = False


@final
@dataclass(frozen=True, slots=True)
class Bench:
    """Strategies, and a table to measure them on.

    Attributes:
        table: The table.
        objectives: What is searched for; metrics are columns.
        report: The column to report of the incumbent.
        reported: That column, shape ``(n,)``.
        reference: Where the hypervolume of several objectives ends, as losses, shape ``(m,)``.
        volume: The hypervolume of the table's Pareto front; 0 for one objective.
        contestants: The strategies.
        problem: What each of them is to search.
        seeds: Studies of each strategy, with seeds from 0.
    """

    table: BenchTable
    objectives: tuple[Objective, ...]
    report: str
    reported: NDArray[np.float64]
    reference: NDArray[np.float64]
    volume: float
    contestants: tuple[Contestant, ...]
    problem: Problem
    seeds: int


def prepare(request: Request) -> Bench:
    """Read the tables and check that all that is asked for can be done.

    Raises:
        ConfigurationError: It cannot.
    """
    _check_counts(request)
    objectives = tuple(_objective(text) for text in request.objectives)
    _refuse_twins("--objective", [objective.metric for objective in objectives])
    _refuse_twins("--strategy", request.strategies)
    contestants = tuple(Contestant.parse(text, request.settings) for text in request.strategies)
    table = BenchTable.read(request.tables, _space(request.space))
    losses = np.stack([_losses(table, objective) for objective in objectives], axis=1)
    space = table.notation.space
    has_gaps = len(table.rows) < space.size and not request.distinct
    problem = Problem(
        space=space.distinct() if request.distinct else space,
        rows=table.rows,
        losses=losses,
        budget=request.budget,
        workers=request.workers,
        durations=_durations(table, request),
        proxies=read_proxies(request.proxies, table) if request.proxies else None,
        twins=_twins(table, space) if has_gaps else {},
    )
    for contestant in contestants:
        contestant.make(problem, seed=0)
    report = request.report or objectives[0].metric
    reference = _reference(request.references, objectives, losses)
    return Bench(
        table=table,
        objectives=objectives,
        report=report,
        reported=table.column(report),
        reference=reference,
        volume=_volume(losses, reference),
        contestants=contestants,
        problem=problem,
        seeds=request.seeds,
    )


def _check_counts(request: Request) -> None:
    for name, count in (("--seeds", request.seeds), ("--workers", request.workers)):
        if count < 1:
            raise ConfigurationError(f"{name} is {count}; allowed: integers from 1 up")
    for name, values in (
        ("--table", request.tables),
        ("--strategy", request.strategies),
        ("--objective", request.objectives),
    ):
        if not values:
            raise ConfigurationError(f"{name} is missing; give at least one")
    if request.time_column is None:
        if request.budget < 1 or not float(request.budget).is_integer():
            raise ConfigurationError(
                f"--budget is {request.budget:g} evaluations; allowed: integers from 1 up (or "
                f"seconds, with --time-column)"
            )
    elif not 0 < request.budget < float("inf"):
        raise ConfigurationError(f"--budget is {request.budget:g} s; allowed: more than 0 seconds")


def _refuse_twins(option: str, texts: Sequence[str]) -> None:
    for position, text in enumerate(texts):
        if text in texts[:position]:
            raise ConfigurationError(f"{option} {text} is given twice; remove one")


def _objective(text: str) -> Objective:
    column, colon, direction = text.rpartition(":")
    if colon and direction == "min":
        return Objective(column, "minimize")
    return Objective(text)


def _space(name: str | None) -> SearchSpace | None:
    if name is None:
        return None
    from phylon.trainables.registry import load_space

    try:
        return load_space(name)
    except ConfigurationError as error:
        raise ConfigurationError(f"--space {name}: {error}") from error


def _losses(table: BenchTable, objective: Objective) -> NDArray[np.float64]:
    values = table.column(objective.metric)
    return -values if objective.direction == "maximize" else values


def _twins(table: BenchTable, space: SearchSpace) -> dict[str, int]:
    """Return the first row of each network by its key."""
    twins: dict[str, int] = {}
    for architecture, row in table.rows.items():
        twins.setdefault(space.key(architecture), row)
    return twins


def _durations(table: BenchTable, request: Request) -> NDArray[np.float64] | None:
    if request.time_column is None:
        return None
    durations = table.column(request.time_column)
    if (shortest := durations.min()) <= 0:
        raise ConfigurationError(
            f"{table.name}: column `{request.time_column}` is {shortest:g} s in row "
            f"{durations.argmin()}; allowed for --time-column: more than 0 seconds"
        )
    if shortest > request.budget:
        raise ConfigurationError(
            f"--budget is {request.budget:g} s, but the shortest evaluation in "
            f"`{request.time_column}` takes {shortest:g} s; give more"
        )
    return durations


def _reference(
    texts: Sequence[str], objectives: Sequence[Objective], losses: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the reference point: what is given, else a percentile of the table's losses."""
    if texts and len(objectives) == 1:
        raise ConfigurationError("--reference is for several objectives; there is one")
    point = np.percentile(losses, _GOOD_SIDE, axis=0)
    columns = [objective.metric for objective in objectives]
    for text in texts:
        column, _, value = text.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if column not in columns or not np.isfinite(number):
            raise ConfigurationError(
                f"--reference {text}; allowed: COLUMN=NUMBER, the column one of the objectives: "
                f"{', '.join(columns)}"
            )
        place = columns.index(column)
        point[place] = -number if objectives[place].direction == "maximize" else number
    return point


def _volume(losses: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    if losses.shape[1] == 1:
        return 0.0
    volume = hypervolume(losses[pareto_front(losses)], reference)
    if not volume:
        raise ConfigurationError(
            "no architecture of the table is better than the reference point in every objective; "
            "give a worse one by --reference"
        )
    return volume
