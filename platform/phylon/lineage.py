"""Who descends from whom, and what became of each: the study's candidates as a table."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from phylon.costs import LineCosts, share_of
from phylon.errors import ConfigurationError
from phylon.record import Record
from phylon.state import StudyState

_TIME = pa.timestamp("ms", tz="UTC")
_IDS = pa.list_(pa.field("element", pa.int64()))  # named as in Parquet


def lineage_rows(state: StudyState, run_ids: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return the candidates in order of their ids as plain JSON data.

    Values that JSON cannot express, such as a loss of NaN, are None.

    Args:
        state: The study.
        run_ids: The MLflow run of each candidate that has one.
    """
    costs = LineCosts(state.records)
    return [
        lineage_row(state, record, run_ids, costs) for _, record in sorted(state.records.items())
    ]


def lineage_table(state: StudyState, run_ids: Mapping[int, str]) -> pa.Table:
    """Return the candidates in order of their ids as an Arrow table of one row each.

    ``metrics`` is a struct with a field for each metric, null where it was not reported;
    ``architecture`` is JSON; ``epochs`` counts those trained; ``violation`` is 0 for candidates
    that meet the constraints, null for those not completed; ``inherit_from`` is the candidate whose
    weights it was to begin with, null for random ones, and ``inherited_share`` the share of its
    parameters that came from there; ``line_epochs`` and the like add up what was spent on it and on
    each whose training is in its weights; ``joules`` are null where its machine does not tell;
    times are in UTC.

    Args:
        state: The study.
        run_ids: The MLflow run of each candidate that has one.
    """
    records = [record for _, record in sorted(state.records.items())]
    candidates = [record.candidate for record in records]
    architectures = [candidate.architecture for candidate in candidates]
    columns = {
        "id": pa.array([c.id for c in candidates], pa.int64()),
        "phase": pa.array([c.phase for c in candidates], pa.string()),
        "parents": pa.array([c.parents for c in candidates], _IDS),
        "inherit_from": pa.array([c.inherit_from for c in candidates], pa.int64()),
        "inherited_share": pa.array([_share(r) for r in records], pa.float64()),
        "operator": pa.array([c.operator for c in candidates], pa.string()),
        "generation": pa.array([c.generation for c in candidates], pa.int64()),
        "state": pa.array([r.state for r in records], pa.string()),
        "metrics": _metrics(state, records),
        "violation": pa.array([_violation(state, r) for r in records], pa.float64()),
        "key": pa.array([a.key for a in architectures], pa.string()),
        "architecture": pa.array([json.dumps(a.nested) for a in architectures], pa.string()),
        "epochs": pa.array([r.epochs for r in records], pa.int64()),
        "seed": pa.array([c.seed for c in candidates], pa.uint64()),
        "seconds": pa.array([r.seconds for r in records], pa.float64()),
        "cpus": pa.array([r.resources.get("cpus") for r in records], pa.float64()),
        "gpus": pa.array([r.resources.get("gpus") for r in records], pa.float64()),
        **_costs(state, records),
        "node": pa.array([r.node for r in records], pa.string()),
        "started": pa.array([_ms(r.started) for r in records], _TIME),
        "ended": pa.array([_ms(r.ended) for r in records], _TIME),
        "reason": pa.array([r.reason for r in records], pa.string()),
        "note": pa.array([r.note for r in records], pa.string()),
        "mlflow_run_id": pa.array([run_ids.get(c.id) for c in candidates], pa.string()),
    }
    return pa.table(columns).replace_schema_metadata(_about(state))


def write_parquet(state: StudyState, run_ids: Mapping[int, str], file: Path) -> None:
    """Write `lineage_table` to a Parquet file; see `save`.

    Raises:
        ConfigurationError: The file cannot be written there.
    """
    save(lineage_table(state, run_ids), file)


def save(table: pa.Table, file: Path) -> None:
    """Write a table to a Parquet file; a reader sees the old file or the whole new one.

    Raises:
        ConfigurationError: The file cannot be written there.
    """
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        pq.write_table(table, fresh, compression="zstd")
        fresh.replace(file)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ConfigurationError(
            f"{file} cannot be written: {error.strerror or error}; name a file in a folder that "
            f"exists and is writable"
        ) from error


def lineage_row(
    state: StudyState, record: Record, run_ids: Mapping[int, str], costs: LineCosts
) -> dict[str, Any]:
    """Return one of `lineage_rows`."""
    candidate, alone, line = record.candidate, costs.alone(record), costs.line(record)
    return {
        "id": candidate.id,
        "phase": candidate.phase,
        "parents": list(candidate.parents),
        "inherit_from": candidate.inherit_from,
        "inherited_share": _share(record),
        "operator": candidate.operator,
        "generation": candidate.generation,
        "state": record.state,
        "metrics": {name: _finite(value) for name, value in record.metrics.items()},
        "violation": _violation(state, record),
        "key": candidate.architecture.key,
        "architecture": candidate.architecture.nested,
        "epochs": record.epochs,
        "seed": candidate.seed,
        "seconds": record.seconds,
        "resources": record.resources,
        "cpu_seconds": alone.cpu_seconds,
        "gpu_seconds": alone.gpu_seconds,
        "joules": alone.joules,
        "line_epochs": line.epochs,
        "line_cpu_seconds": line.cpu_seconds,
        "line_gpu_seconds": line.gpu_seconds,
        "node": record.node,
        "started": record.started,
        "ended": record.ended,
        "reason": record.reason,
        "note": record.note,
        "mlflow_run_id": run_ids.get(candidate.id),
    }


def _costs(state: StudyState, records: Sequence[Record]) -> dict[str, pa.Array]:
    """Return the columns of what candidates cost, and of what is spent on their weights in all."""
    costs = LineCosts(state.records)
    alone, line = [costs.alone(r) for r in records], [costs.line(r) for r in records]
    return {
        "cpu_seconds": pa.array([each.cpu_seconds for each in alone], pa.float64()),
        "gpu_seconds": pa.array([each.gpu_seconds for each in alone], pa.float64()),
        "joules": pa.array([each.joules for each in alone], pa.float64()),
        "line_epochs": pa.array([each.epochs for each in line], pa.int64()),
        "line_cpu_seconds": pa.array([each.cpu_seconds for each in line], pa.float64()),
        "line_gpu_seconds": pa.array([each.gpu_seconds for each in line], pa.float64()),
    }


def _share(record: Record) -> float | None:
    share = share_of(record)
    return None if share is None else _finite(share)


def _violation(state: StudyState, record: Record) -> float | None:
    return state.violation(record) if record.state == "completed" else None


def _metrics(state: StudyState, records: Sequence[Record]) -> pa.StructArray:
    """Return a struct per record, of the metrics the task declares and any that was reported."""
    declared = state.created.metrics if state.created else []
    names = dict.fromkeys([*declared, *(objective.metric for objective in state.objectives)])
    for record in records:
        names.update(dict.fromkeys(record.metrics))
    columns = [pa.array([r.metrics.get(name) for r in records], pa.float64()) for name in names]
    return pa.StructArray.from_arrays(columns, names=list(names))


def _about(state: StudyState) -> dict[str, str]:
    """Return what a reader of the file should know of the study."""
    uid = state.created.uid if state.created else ""
    objectives = [{"metric": o.metric, "direction": o.direction} for o in state.objectives]
    return {"phylon.study": uid, "phylon.objectives": json.dumps(objectives)}


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
