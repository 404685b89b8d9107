"""Where a candidate comes from: its line of descent, and what each step gained."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from rich.table import Table
from rich.text import Text

from phylon.costs import LineCosts, is_heir, share_of
from phylon.errors import ConfigurationError
from phylon.leaderboard import origin, plain_table
from phylon.lineage import lineage_row
from phylon.record import Record
from phylon.search.objective import Objective
from phylon.state import StudyState

_NEAREST = 3
_NUMBER_WIDTH, _COUNT_WIDTH = 7, 4  # what numbers take, on narrow terminals, too


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

    The gain of a child that began with trained weights is that of its own training, too. None if
    the two cannot be compared: if they were not trained for equally long, each by itself, or not
    both completed, or one of them is scored with shared weights, or the parent began with trained
    weights and the child with random ones.
    """
    both = (parent, child)
    if any(each.state != "completed" or objective.metric not in each.metrics for each in both):
        return None
    if parent.candidate.epochs != child.candidate.epochs or (is_heir(parent) > is_heir(child)):
        return None
    return objective.loss(parent.metrics) - objective.loss(child.metrics)


def ancestry_rows(
    state: StudyState, number: int, run_ids: Mapping[int, str]
) -> list[dict[str, Any]]:
    """Return a line of descent as plain JSON data, with the gain over the first parent; see `gain`.

    Args:
        state: The study.
        number: Id of the candidate at the end of the line.
        run_ids: The MLflow run of each candidate that has one.

    Raises:
        ConfigurationError: There is no such candidate.
    """
    line = line_of_descent(state, number)
    gains, costs = _gains(state, line), LineCosts(state.records)
    return [
        {**lineage_row(state, record, run_ids, costs), "gain": gained}
        for record, gained in zip(line, gains, strict=True)
    ]


def ancestry_table(state: StudyState, number: int) -> Table:
    """Return a line of descent as a table: a row for each step, with its gain; see `gain`.

    Raises:
        ConfigurationError: There is no such candidate.
    """
    line = line_of_descent(state, number)
    inherits = any(record.candidate.inherit_from is not None for record in line)
    table = plain_table(f"Line of descent of candidate {number}")
    table.collapse_padding = True
    for heading in ("id", "generation", "made by", "state"):
        is_number = heading in ("id", "generation")
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for objective in state.objectives:
        arrow = "↑" if objective.direction == "maximize" else "↓"
        for told in (f"{objective.metric} {arrow}", "gain"):
            table.add_column(told, justify="right", overflow="fold", min_width=_NUMBER_WIDTH)
    for heading in ("epochs", *(("in all", "inherited", "weights of") if inherits else ())):
        table.add_column(heading, justify="right", overflow="fold", min_width=_COUNT_WIDTH)
    costs = LineCosts(state.records)
    for record, gained in zip(line, _gains(state, line), strict=True):
        values = [record.metrics.get(objective.metric) for objective in state.objectives]
        numbers = [
            cell
            for value, step in zip(values, gained.values(), strict=True)
            for cell in ("" if value is None else f"{value:.4f}", _signed(step))
        ]
        cells = [str(record.id), str(record.candidate.generation), origin(record), record.state]
        cells += [*numbers, str(record.epochs or "")]
        table.add_row(*cells, *(_inherited(record, costs) if inherits else ()))
    table.caption = Text("\n".join(_remarks(line, inherits=inherits)), style="dim")
    table.caption_justify = "left"
    return table


def _signed(step: float | None) -> str:
    return "" if step is None else f"{step:+.4f}"


def _inherited(record: Record, costs: LineCosts) -> tuple[str, str, str]:
    """Return the epochs in a candidate's weights, and which share of them came from whom."""
    giver, share = record.candidate.inherit_from, share_of(record)
    return (
        str(costs.line(record).epochs or ""),
        "" if share is None else f"{share:.0%}",
        "" if giver is None else str(giver),
    )


def _remarks(line: Sequence[Record], *, inherits: bool) -> Iterator[str]:
    """Yield what there is to say of a line of descent besides its numbers."""
    if inherits:
        yield "In all: with the epochs of each candidate whose training is in the weights."
        yield "A gain over a parent whose weights were inherited is of more training, too."
    yield from (f"Candidate {record.id}: {record.note}" for record in line if record.note)


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
