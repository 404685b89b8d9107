"""What is to be had at which price: the Pareto front, and how it grew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool
from markupsafe import Markup
from numpy.typing import NDArray

from phylon.growing_front import FIRST, GrowingFront
from phylon.history import History
from phylon.record import Record
from phylon.report_candidates import comparable, details, number, number_format
from phylon.report_section import Part, Section
from phylon.report_style import MUTED, PALETTE, compact, legend, new_figure
from phylon.report_table import table
from phylon.search.objective import Objective, losses
from phylon.search.pareto import pareto_front
from phylon.state import StudyState
from phylon.trainables.evaluator import COUNTED
from phylon.trainables.words import describe

_FEWEST, _ROWS = 3, 8
_FRONT = PALETTE[1]


def front_section(history: History) -> Section | None:
    """Return the Pareto front; None if there is only one thing to look at, or hardly a candidate.

    With one objective, the front is that of the objective and a cost that was counted.
    """
    state = history.state
    records = comparable(state)
    goals = _goals(state, records)
    if len(goals) < 2 or len(records) < _FEWEST:
        return None
    rows = np.array([losses(goals, record.metrics) for record in records])
    front = _Front(state, goals, records, rows, pareto_front(rows))
    parts = [_words(front), *_scatter(front), _table(front), *_growth(front)]
    return Section("front", "Pareto front", tuple(parts))


@dataclass(frozen=True)
class _Front:
    """A study's candidates that compete, with what they are compared by.

    Attributes:
        state: The study.
        goals: m objectives, of which the study may know the first only.
        records: n candidates, in the order in which they ended.
        rows: Their losses, shape ``(n, m)``.
        is_on: Which of them nothing dominates, shape ``(n,)``.
    """

    state: StudyState
    goals: Sequence[Objective]
    records: Sequence[Record]
    rows: NDArray[np.float64]
    is_on: NDArray[np.bool_]

    @property
    def members(self) -> list[Record]:
        """Those on the front, by the first objective."""
        order = np.argsort(self.rows[:, 0], kind="stable")
        return [self.records[i] for i in order if self.is_on[i]]


def _goals(state: StudyState, records: Sequence[Record]) -> Sequence[Objective]:
    if len(state.objectives) > 1:
        return state.objectives
    bounded = [limit.metric for limit in state.constraints if limit.at_most is not None]
    for cost in dict.fromkeys([*bounded, *COUNTED]):
        values = {record.metrics.get(cost, math.nan) for record in records}
        is_told = cost != state.objectives[0].metric and all(map(math.isfinite, values))
        if is_told and len(values) > 1:
            return [*state.objectives, Objective(cost, "minimize")]
    return state.objectives


def _words(front: _Front) -> Markup:
    names = " or ".join(f"{goal.metric} ({goal.direction})" for goal in front.goals)
    text = (
        f"On the front are {front.is_on.sum():,} of the {len(front.records):,} candidates that "
        f"compete: no other one is better in {names} without being worse in another."
    )
    if len(front.state.objectives) < 2:
        text += f" The search had no aim for {front.goals[1].metric}, which was counted."
    if len(front.goals) > 2:
        text += " The figure shows the first two."
    return Markup("<p>{}</p>").format(text)


def _scatter(front: _Front) -> list[Part]:
    y, x = front.goals[:2]
    plot = new_figure(x_axis_label=x.metric, y_axis_label=y.metric, output_backend="webgl")
    if len(front.goals) == 2:
        steps = np.array([(r.metrics[x.metric], r.metrics[y.metric]) for r in front.members])
        steps = compact(steps[np.argsort(steps[:, 0], kind="stable")])
        plot.step(
            steps[:, 0],
            steps[:, 1],
            mode="after" if x.direction == "minimize" else "before",
            color=_FRONT,
            line_width=1.5,
        )
    dominated = [r for r, is_on in zip(front.records, front.is_on, strict=True) if not is_on]
    for records, colour, size in ((dominated, MUTED, 4.5), (front.members, _FRONT, 8)):
        columns, tooltips = details(front.state, records)
        columns["x"] = compact([record.metrics[x.metric] for record in records])
        columns["y"] = compact([record.metrics[y.metric] for record in records])
        source = ColumnDataSource(columns)
        alpha = 0.45 if colour == MUTED else 1.0
        points = plot.scatter("x", "y", source=source, color=colour, size=size, alpha=alpha)
        plot.add_tools(HoverTool(renderers=[points], tooltips=tooltips, visible=False))
    return [legend([("on the front", _FRONT), ("dominated", MUTED)]), plot]


def _table(front: _Front) -> Markup:
    """Return the front as a table, with some of its members left out if there are many."""
    members = front.members
    places = np.unique(np.linspace(0, len(members) - 1, min(_ROWS, len(members))).astype(int))
    metrics = [goal.metric for goal in front.goals]
    rows = [
        (
            record.id,
            *(number(record.metrics[metric]) for metric in metrics),
            describe(record.candidate.architecture),
        )
        for record in (members[place] for place in places)
    ]
    text = table(("candidate", *metrics, "network"), rows, numbers=("candidate", *metrics))
    if len(places) == len(members):
        return text
    note = Markup('<p class="note">{} of {:,}, spread over the front.</p>')
    return text + note.format(len(places), len(members))


def _growth(front: _Front) -> list[Part]:
    """Return how the hypervolume grew, if there are enough candidates to tell where it ends."""
    growing = GrowingFront()
    counts, volumes = list[int](), list[float]()
    for count, row in enumerate(front.rows, start=1):
        growing.add(row.tolist())
        if growing.reference is not None and growing.volume != (volumes[-1] if volumes else None):
            counts.append(count)
            volumes.append(growing.volume)
    if growing.reference is None:
        return []
    x, y = compact([*counts, len(front.rows)]), compact([*volumes, volumes[-1]])
    plot = new_figure(x_axis_label="candidates that compete", y_axis_label="volume", height=240)
    line = plot.step(x, y, mode="after", color=_FRONT, line_width=2)
    tooltips = [("candidates", "@x{0,0}"), ("volume", f"@y{{{number_format(volumes)}}}")]
    plot.add_tools(HoverTool(renderers=[line], tooltips=tooltips, visible=False))
    ends = [
        f"{goal.metric} {number(-loss if goal.direction == 'maximize' else loss)}"
        for goal, loss in zip(front.goals, growing.reference.tolist(), strict=True)
    ]
    text = Markup(
        "<h3>Hypervolume</h3><p>What the front dominates as far as the reference point, {}: the "
        "worst of the first {}, and a tenth of their range beyond.</p>"
    )
    return [text.format(", ".join(ends), FIRST), plot]
