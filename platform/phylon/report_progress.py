"""How a search went on: every candidate, and the best so far."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from bokeh.layouts import row
from bokeh.models import ColumnDataSource, HoverTool, Range1d
from bokeh.plotting import figure
from markupsafe import Markup
from numpy.typing import NDArray

from phylon.history import History
from phylon.record import Record
from phylon.report_candidates import by_ending, comparable, details, operator_colours
from phylon.report_curves import curves_parts
from phylon.report_section import Part, Section
from phylon.report_style import MUTED, PALETTE, compact, legend, new_figure
from phylon.search.objective import Objective
from phylon.state import StudyState

_BEST, _FINAL_COLOUR = PALETTE[6], PALETTE[5]
_SCORED, _SHORTER = "scored with shared weights", "trained for fewer epochs"
_MISSES, _FINAL, _PROBE = "misses a constraint", "final training", "probe"
_USUAL = "circle"
_MARKERS = {_SCORED: "triangle", _MISSES: "x", _FINAL: "diamond", _PROBE: "square"}


def progress_section(history: History) -> Section | None:
    """Return how the search went on; None if nothing of it has completed."""
    state = history.state
    done = (record for record in by_ending(state) if record.state == "completed")
    drawn = [record for record in done if record.candidate.phase != "supernet"]
    if not drawn:
        return None
    return Section("progress", "Progress", (*_parts(state, drawn), *curves_parts(history)))


def _parts(state: StudyState, drawn: Sequence[Record]) -> list[Part]:
    objective = state.objectives[0]
    way = _way(state)
    bounds, hidden = _bounds([objective.loss(record.metrics) for record in drawn])
    if objective.direction == "maximize":
        bounds = (-bounds[1], -bounds[0])
    y_range = Range1d(start=bounds[0], end=bounds[1])
    plots = [
        new_figure(x_axis_label=label, y_range=y_range, output_backend="webgl")
        for label in ("candidates completed", way.unit)
    ]
    plots[0].yaxis.axis_label = objective.metric
    competing = comparable(state)
    kinds = _kinds(state, drawn, {record.id for record in competing})
    for kind in kinds:
        _draw(plots, state, kind, way)
    meaning = [(kind.label, kind.colour) for kind in kinds]
    if competing:
        _draw_best(plots, objective, competing, way)
        meaning.insert(0, ("best so far", _BEST))
    return [
        _words(objective, len(competing), hidden),
        legend(meaning),
        row(*plots, sizing_mode="stretch_width", spacing=16),
    ]


@dataclass(frozen=True)
class _Kind:
    """Candidates that are drawn alike."""

    name: str
    colour: str
    marker: str
    records: list[Record]

    @property
    def label(self) -> str:
        """What it is called where only its colour can be seen besides."""
        return self.name if self.marker == _USUAL else f"{self.name} ({self.marker})"


@dataclass(frozen=True)
class _Way:
    """Where on the way of the search each candidate ended.

    Attributes:
        count: How many had completed by then, by id.
        cost: What all that had ended by then had cost, by id.
        unit: What the cost is counted in.
    """

    count: dict[int, int]
    cost: dict[int, float]
    unit: str

    def columns(self, records: Sequence[Record]) -> dict[str, NDArray[np.float32]]:
        """Return the places of candidates as columns of a figure."""
        return {
            "count": compact([self.count[record.id] for record in records]),
            "cost": compact([self.cost[record.id] for record in records]),
        }


def _way(state: StudyState) -> _Way:
    ended = by_ending(state)
    unit = next((unit for unit, price in _PRICES.items() if any(map(price, ended))), "epochs")
    counts = accumulate(record.state == "completed" for record in ended)
    costs = accumulate(map(_PRICES[unit], ended))
    ids = [record.id for record in ended]
    return _Way(dict(zip(ids, counts, strict=True)), dict(zip(ids, costs, strict=True)), unit)


_PRICES: dict[str, Callable[[Record], float]] = {
    "GPU hours": lambda record: record.seconds * record.resources.get("gpus", 0.0) / 3600,
    "CPU hours": lambda record: record.seconds * record.resources.get("cpus", 0.0) / 3600,
    "epochs": lambda record: float(record.epochs),
}
"""What counts as cost: the first of these of which there is any."""


def _bounds(losses: Sequence[float]) -> tuple[tuple[float, float], int]:
    """Return the range to show first, and how many losses are so far off that they are not in it.

    Those are more than three times the distance between the quartiles above the upper one (Tukey
    1977: far out), so that a few that did not learn leave room for the others. If both are the
    same, nothing tells what is far.
    """
    low, high = min(losses), max(losses)
    lower, upper = np.quantile(losses, [0.25, 0.75])
    if upper > lower:
        high = float(min(high, upper + 3 * (upper - lower)))
    margin = 0.06 * (high - low) or abs(high) * 0.05 or 1.0
    return (low - margin, high + margin), sum(loss > high + margin for loss in losses)


def _kinds(state: StudyState, drawn: Sequence[Record], competing: Collection[int]) -> list[_Kind]:
    """Return the candidates by what they are drawn as: those that compete, by their operators."""
    operators = Counter(r.candidate.operator for r in drawn if r.id in competing)
    hues = operator_colours(state)
    others = defaultdict[str, list[Record]](list)
    for record in drawn:
        if record.id not in competing:
            others[_purpose(state, record)].append(record)
    final = others.pop(_FINAL, [])
    kinds = [_Kind(name, MUTED, _MARKERS[name], records) for name, records in others.items()]
    for name, _ in operators.most_common():
        own = [r for r in drawn if r.id in competing and r.candidate.operator == name]
        kinds.append(_Kind(name, hues[name], _USUAL, own))
    return [*kinds, _Kind(_FINAL, _FINAL_COLOUR, _MARKERS[_FINAL], final)] if final else kinds


def _purpose(state: StudyState, record: Record) -> str:
    """Return why a candidate does not compete with those of the search."""
    candidate = record.candidate
    if state.violation(record):
        return _MISSES
    if candidate.phase == "final":
        return _FINAL
    if candidate.phase == "probe":
        return _PROBE
    return _SCORED if candidate.is_scored else _SHORTER


def _draw(plots: Sequence[figure], state: StudyState, kind: _Kind, way: _Way) -> None:
    columns, tooltips = details(state, kind.records)
    source = ColumnDataSource({**columns, **way.columns(kind.records)})
    size = 11 if kind.name == _FINAL else max(4.0, 9.0 - math.log10(len(kind.records)) * 1.5)
    for x, plot in zip(("count", "cost"), plots, strict=True):
        points = plot.scatter(
            x,
            "m0",
            source=source,
            marker=kind.marker,
            size=size,
            color=kind.colour,
            alpha=0.45 if kind.colour == MUTED else 0.75,
        )
        plot.add_tools(HoverTool(renderers=[points], tooltips=tooltips, visible=False))


def _draw_best(
    plots: Sequence[figure], objective: Objective, competing: Sequence[Record], way: _Way
) -> None:
    """Draw the best of those that compete as a line that steps up, or down, to the end."""
    losses = np.minimum.accumulate([objective.loss(record.metrics) for record in competing])
    steps = [i for i in range(len(losses)) if i == 0 or losses[i] < losses[i - 1]]
    ids = [competing[i].id for i in steps]
    sign = -1 if objective.direction == "maximize" else 1
    values = compact([*(sign * losses[steps]), sign * losses[-1]])
    ways: tuple[Mapping[int, float], ...] = way.count, way.cost
    for places, plot in zip(ways, plots, strict=True):
        x = compact([*(places[id_] for id_ in ids), max(places.values())])
        plot.step(x, values, mode="after", color=_BEST, line_width=2)


def _words(objective: Objective, competing: int, hidden: int) -> Markup:
    way = "higher" if objective.direction == "maximize" else "lower"
    text = Markup("Each point is a candidate that completed; {} <b>{}</b> is better.").format(
        way, objective.metric
    )
    if competing:
        text += Markup(
            " The line is the best of the {:,} that compete: they meet the constraints, and were "
            "all measured in the same way."
        ).format(competing)
    else:
        text += (
            " There is no best so far: none of the search has completed and meets the constraints."
        )
    if hidden:
        text += Markup(" {:,} far worse ones are outside the frame: pan to see them.").format(
            hidden
        )
    return Markup("<p>{}</p>").format(text)
