"""A study in short: as one JSON object, or as a row among others."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from phylon.cluster.location import Location
from phylon.costs import LineCosts, line_of_weights
from phylon.errors import ConfigurationError, PhylonError
from phylon.leaderboard import plain_table
from phylon.progress import clock
from phylon.record import Record
from phylon.search.constraint import Constraint
from phylon.state import StudyState
from phylon.study import JOURNAL, Study


def summarize(state: StudyState, location: Location, status: str) -> dict[str, Any]:
    """Return what a program wants to know of a study, as plain JSON data; None for NaN."""
    config = state.created.config if state.created else {}
    return {
        "study": config.get("name", location.name),
        "folder": str(location),
        "state": status,
        "candidates": {
            "completed": state.completed,
            "failed": state.failed,
            "pending": len(state.pending),
        },
        "best": _best(state),
        "final": [_group(state, group) for group in state.final_groups()],
        "test": _test(state),
        "rank_correlation": _rank_correlation(state),
        "objectives": [{"metric": o.metric, "direction": o.direction} for o in state.objectives],
        "constraints": [_given(constraint) for constraint in state.constraints],
        "seconds": state.seconds,
        "spent": {
            "candidates": state.searched,
            "epochs": state.spent.epochs,
            "hours": state.seconds / 3600,
            "gpu_hours": state.spent.gpu_seconds / 3600,
        },
        "budget": state.opened.budget if state.opened else {},
    }


def _given(constraint: Constraint) -> dict[str, Any]:
    fields = dataclasses.asdict(constraint)
    return {name: value for name, value in fields.items() if value is not None}


def _best(state: StudyState) -> dict[str, Any] | None:
    record = state.best
    if record is None:
        return None
    architecture = record.candidate.architecture.nested
    metrics = {
        name: value if math.isfinite(value) else None for name, value in record.metrics.items()
    }
    return {
        "id": record.id,
        "is_scored": record.candidate.is_scored,
        "metrics": metrics,
        "violation": state.violation(record),
        "architecture": architecture,
        "note": record.note,
        "line_of_weights": [each.id for each in line_of_weights(state.records, record.id)],
        "cost": LineCosts(state.records).line(record).to_json(),
    }


def _group(state: StudyState, group: Sequence[Record]) -> dict[str, Any]:
    """Return how a network did in the final phase, from random or from shared weights."""
    candidate = group[0].candidate
    return {
        "of": candidate.parents[0],
        "inherit_from": candidate.inherit_from,
        "ids": sorted(record.id for record in group),
        "metrics": {
            objective.metric: spread([record.metrics[objective.metric] for record in group])
            for objective in state.objectives
        },
    }


def _test(state: StudyState) -> dict[str, Any] | None:
    if state.tested is None:
        return None
    return {metric: spread(values) for metric, values in state.tested.metrics.items()}


def spread(values: list[float]) -> dict[str, Any]:
    """Return mean and standard deviation over seeds, and the values themselves."""
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else 0.0,
        "values": values,
    }


def _rank_correlation(state: StudyState) -> dict[str, Any] | None:
    if state.ranked is None:
        return None
    told = dataclasses.asdict(state.ranked)
    del told["time"]
    return told


def studies_table(root: Location) -> Table:
    """Return a table of the studies in a storage folder, or in a place of an object store.

    Raises:
        ConfigurationError: The folder does not exist, or the store cannot be read.
    """
    if root.local is not None and not root.local.is_dir():
        raise ConfigurationError(
            f"there is no storage folder {root}; name the one that holds studies: phylon list ROOT"
        )
    table = plain_table(f"Studies in {root}")
    table.add_column("name", no_wrap=True)
    table.add_column("state")
    for heading in ("completed", "failed", "pending"):
        table.add_column(heading, justify="right")
    table.add_column("best")
    table.add_column("time", justify="right")
    for location in (root / name for name in _names(root)):
        if (location / JOURNAL).exists():
            table.add_row(*_cells(location))
    if not table.row_count:
        table.caption = "none yet; `phylon run STUDY.yaml` begins one"
    return table


def _names(root: Location) -> list[str]:
    try:
        return root.names()
    except OSError as error:
        raise ConfigurationError(
            f"{root} cannot be read: {error.strerror or error}; check the URI and your credentials"
        ) from error


def _cells(location: Location) -> list[str]:
    try:
        study = Study.open(str(location))
        state = study.state()
    except PhylonError:
        return [location.name, "unreadable"]
    counts = [str(n) for n in (state.completed, state.failed, len(state.pending))]
    return [location.name, study.status(state), *counts, _best_value(state), clock(state.seconds)]


def _best_value(state: StudyState) -> str:
    best = state.best
    if best is None:
        return ""
    words = [f"{o.metric} {best.metrics[o.metric]:.4g}" for o in state.objectives]
    words += ["with shared weights"] if best.candidate.is_scored else []
    words += ["infeasible"] if state.violation(best) else []
    return ", ".join(words)
