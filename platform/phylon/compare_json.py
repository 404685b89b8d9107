"""A comparison as plain JSON data, for programs."""

from __future__ import annotations

import math
from typing import Any

from phylon.compare_curves import CPU_HOURS, GPU_HOURS, Curve
from phylon.compare_results import Comparison, Paired, Standing, cost_of, tested
from phylon.compare_studies import name_of, seed_of
from phylon.history import History
from phylon.summary import spread


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return all numbers; None for what is not there, or never came."""
    scale, standings = comparison.scale, comparison.standings
    objectives = scale.objectives
    return {
        "measure": scale.name,
        "objectives": [{"metric": o.metric, "direction": o.direction} for o in objectives],
        "scored_with_shared_weights": scale.scored,
        "reference": scale.reference_metrics,
        "candidates": comparison.candidates,
        "target": comparison.target,
        "cost_unit": comparison.currency.label,
        "groups": [_standing_json(each) for each in standings],
        "tests": [_test_json(standings[0].group.label, each) for each in comparison.tests],
        "notes": list(comparison.notes),
    }


def _standing_json(standing: Standing) -> dict[str, Any]:
    candidates, cost = standing.typical
    rows = zip(
        standing.group.studies, standing.curves, standing.best, standing.reached, strict=True
    )
    return {
        "label": standing.group.label,
        "best": spread(standing.found) if standing.found else None,
        "target": {
            "reached": standing.arrived,
            "candidates": _finite(candidates),
            "cost": _finite(cost),
        },
        "studies": [_study_json(*row) for row in rows],
    }


def _study_json(
    study: History, curve: Curve, best: float, reached: tuple[float, float]
) -> dict[str, Any]:
    state = study.state
    return {
        "study": name_of(study),
        "folder": str(study.location),
        "seed": seed_of(study),
        "best": _finite(best),
        "best_at_end": _finite(float(curve.values[-1])) if curve.found else None,
        "test": dict(tested(study)) or None,
        "completed": state.completed,
        "failed": state.failed,
        "cpu_hours": cost_of(study, CPU_HOURS),
        "gpu_hours": cost_of(study, GPU_HOURS),
        "wall_hours": state.seconds / 3600,
        "candidates_to_target": _finite(reached[0]),
        "cost_to_target": _finite(reached[1]),
    }


def _test_json(against: str, test: Paired) -> dict[str, Any]:
    return {
        "group": test.label,
        "against": against,
        "pairs": test.pairs,
        "difference": test.difference,
        "interval_95": list(test.interval) if test.interval else None,
        "p": test.p,
        "p_holm": test.p_holm,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
