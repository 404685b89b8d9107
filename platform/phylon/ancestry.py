"""Where a candidate comes from: its line of descent, and what each step gained."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from rich.table import Table

from phylon.errors import ConfigurationError
from phylon.leaderboard import origin, plain_table
from phylon.lineage import lineage_row
from phylon.search.objective import Objective
from phylon.state import Record, StudyState

_NEAREST = 3


def candidate_of(state: StudyState, number: int) -> Record:
    """Return the candidate with this id.

    Raises:
        ConfigurationError: There is none; the message names the nearest that there are.
    """
    if number in state.records:
        return state.records[number]
    known = sorted(heapq.nsmallest(_NEAREST, state.records, key=lambda known: abs(known - number)))
    hint = f"the nearest are {', '.join(map(str, known))}" if known else "it has none yet"
    raise ConfigurationError(f"candidate {number} is not in the study; {hint}")


def line_of_descent(state: StudyState, number: int) -> list[Record]:
    """Return a candidate with those it descends from, its first ancestor first.

    Of several parents the line follows the first.

    Raises:
        ConfigurationError: There is no such candidate.
    """
    line = [candidate_of(state, number)]
    while parents := line[-1].candidate.parents:
        line.append(state.records[parents[0]])
    return line[::-1]


def gain(objective: Objective, parent: Record, child: Record) -> float | None:
    """Return by how much a child is better than a parent, negative if it is worse.

    None if the two cannot be compared: if they were not trained for equally long, or not both
    completed, or one of them is scored with shared weights.
    """
    both = (parent, child)
    if any(each.state != "completed" or objective.metric not in each.metrics for each in both):
        return None
    if parent.candidate.epochs != child.candidate.epochs:
        return None
    return objective.loss(parent.metrics) - objective.loss(child.metrics)


def ancestry_rows(
    state: StudyState, number: int, run_ids: Mapping[int, str]
) -> list[dict[str, Any]]:
    """Return a line of descent as plain JSON data, with the gain over the first parent.

    Args:
        state: The study.
        number: Id of the candidate at the end of the line.
        run_ids: The MLflow run of each candidate that has one.

    Raises:
        ConfigurationError: There is no such candidate.
    """
    line = line_of_descent(state, number)
    gains = _gains(state, line)
    return [
        {**lineage_row(state, record, run_ids), "gain": gained}
        for record, gained in zip(line, gains, strict=True)
    ]


def ancestry_table(state: StudyState, number: int) -> Table:
    """Return a line of descent as a table: a row for each step, with its gain.

    Raises:
        ConfigurationError: There is no such candidate.
    """
    line = line_of_descent(state, number)
    table = plain_table(f"Line of descent of candidate {number}")
    for heading in ("id", "generation", "made by", "state"):
        table.add_column(heading, justify="right" if heading in ("id", "generation") else "left")
    for objective in state.objectives:
        arrow = "↑" if objective.direction == "maximize" else "↓"
        table.add_column(f"{objective.metric} {arrow}", justify="right")
        table.add_column("gain", justify="right")
    table.add_column("epochs", justify="right")
    table.add_column("weights of", justify="right")
    for record, gained in zip(line, _gains(state, line), strict=True):
        numbers = []
        for objective in state.objectives:
            value, step = record.metrics.get(objective.metric), gained[objective.metric]
            numbers.append("" if value is None else f"{value:.4f}")
            numbers.append("" if step is None else f"{step:+.4f}")
        heir = record.candidate.inherit_from
        cells = [str(record.id), str(record.candidate.generation), origin(record), record.state]
        weights = "" if heir is None else str(heir)
        table.add_row(*cells, *numbers, str(record.epochs or ""), weights)
    return table


def _gains(state: StudyState, line: Sequence[Record]) -> list[dict[str, float | None]]:
    """Return the gain of each over the one before it, by the metric of the objective."""
    first: dict[str, float | None] = {objective.metric: None for objective in state.objectives}
    return [
        first,
        *(
            {o.metric: gain(o, parent, child) for o in state.objectives}
            for parent, child in pairwise(line)
        ),
    ]
