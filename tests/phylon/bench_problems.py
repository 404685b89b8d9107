"""Benches small enough for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.tables import synthetic_table
from phylon.bench_results import Results, evaluate
from phylon.bench_run import run_studies
from phylon.bench_setup import Bench, Request


def request(table: Path, **fields: Any) -> Request:
    settings = {
        "tables": [table],
        "strategies": ["random"],
        "objectives": ["search"],
        "report": "true",
        "budget": 60,
        "seeds": 4,
        **fields,
    }
    return Request(**settings)


def run(bench: Bench, processes: int = 1) -> Results:
    studies = [(each, seed) for each in bench.contestants for seed in range(bench.seeds)]
    return evaluate(bench, run_studies(bench.problem, studies, processes=processes))


def small_table(folder: Path) -> Path:
    """Write the synthetic table with 624 architectures."""
    path = folder / "traps.parquet"
    synthetic_table(path, groups=1)
    return path
