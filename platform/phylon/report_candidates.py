"""What the figures of a report tell of each candidate, and which of them may be compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from phylon.record import Record
from phylon.report_style import colours, compact
from phylon.state import StudyState
from phylon.trainables.evaluator import COUNTED

_MOST_METRICS, _MOST_DIGITS = 6, 12
Columns = dict[str, Any]
"""Columns of a figure's data, all of one length."""
Tooltips = list[tuple[str, str]]
"""What a figure says on hovering: labels, and where in the columns their values are."""


def by_ending(state: StudyState) -> list[Record]:
    """Return the candidates that ended, in the order in which they did."""
    ended = [(r.ended, r.id, r) for r in state.records.values() if r.ended is not None]
    return [record for *_, record in sorted(ended, key=lambda item: item[:2])]


def comparable(state: StudyState) -> list[Record]:
    """Return the candidates of the search that compete on one scale, in the order of their ends."""
    return state.comparable(
        record
        for record in by_ending(state)
        if record.state == "completed" and record.candidate.phase == "search"
    )


def details(state: StudyState, records: Sequence[Record]) -> tuple[Columns, Tooltips]:
    """Return what hovering tells of candidates, as columns for a figure and as its tooltips.

    The columns are ``id``, ``operator``, ``generation``, ``epochs`` and ``node``, and ``m0``,
    ``m1``, ... for metrics: their names may hold what bokeh takes for something else.
    """
    columns: Columns = {
        "id": np.array([record.id for record in records], np.int32),
        "operator": [record.candidate.operator for record in records],
        "generation": np.array([record.candidate.generation for record in records], np.int32),
        "epochs": np.array([record.epochs for record in records], np.int32),
        "node": [host_of(record.node) for record in records],
    }
    tooltips = [("candidate", "@id{0}")]
    for place, metric in enumerate(shown_metrics(state)):
        values = [float(record.metrics.get(metric, math.nan)) for record in records]
        columns[f"m{place}"] = compact(values)
        tooltips.append((metric, f"@m{place}{{{number_format(values)}}}"))
    told = ("operator", "generation", "epochs", "node")
    return columns, [*tooltips, *((name, f"@{name}") for name in told)]


def operator_colours(state: StudyState) -> dict[str, str]:
    """Return the colour of each operator, the same in all figures."""
    return colours(record.candidate.operator for record in state.records.values())


def host_of(node: str) -> str:
    """Return the host of a node, without what tells several nodes on it apart."""
    return node.partition("/")[0]


def shown_metrics(state: StudyState) -> list[str]:
    """Return the metrics to tell of each candidate: what counts first, and not too many."""
    known = state.created.metrics if state.created else []
    bounded = [constraint.metric for constraint in state.constraints]
    goals = [objective.metric for objective in state.objectives]
    counted = [metric for metric in COUNTED if metric in known]
    return list(dict.fromkeys([*goals, *bounded, *counted, *known]))[:_MOST_METRICS]


def number_format(values: Sequence[float]) -> str:
    """Return how bokeh should write numbers of such a size.

    >>> number_format([0.25, 0.5]), number_format([1200.0, 35000.0]), number_format([2.5e-4])
    ('0.0000', '0,0', '0.0000000')
    """
    finite = [abs(value) for value in values if math.isfinite(value)]
    if all(value == int(value) for value in finite):
        return "0,0"
    most = max(finite)
    leading = 0 if most >= 1 else -math.floor(math.log10(most)) - 1  # zeros before the first digit
    return "0,0.0" if most >= 1000 else f"0.{'0' * min(4 + leading, _MOST_DIGITS)}"


def number(value: float) -> str:
    """Return a value as text, without an exponent where people would not write one.

    >>> number(0.984321), number(8_312_832.0), number(math.nan)
    ('0.98432', '8,312,832', 'nan')
    """
    is_whole = abs(value) >= 1e4 or float(value).is_integer()
    return f"{value:,.0f}" if is_whole and abs(value) < 1e15 else f"{value:.5g}"


def percent(share: float) -> str:
    """Return a share as text.

    >>> percent(0.123), percent(0.0456), percent(0.0)
    ('12 %', '4.6 %', '0 %')
    """
    digits = 0 if abs(share) >= 0.0995 or not share else 1
    return f"{100 * share:.{digits}f} %"
