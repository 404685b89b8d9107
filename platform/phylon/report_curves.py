"""How candidates learned: what each of them reported, epoch by epoch."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.plotting import figure
from markupsafe import Markup

from phylon.history import History, Step
from phylon.report_candidates import number_format
from phylon.report_section import Part
from phylon.report_style import MUTED, PALETTE, compact, legend, new_figure

_BEST, _OTHERS, _MOST_POINTS = len(PALETTE), 100, 100
Curve = tuple[list[float], list[float]]
"""Epochs, and a metric after each of them."""


def curves_parts(history: History) -> list[Part]:
    """Return the learning curves of the best, and of some others; nothing if there are none."""
    state = history.state
    metric = state.objectives[0].metric
    curves = {id_: _curve(steps, metric) for id_, steps in history.curves.items()}
    if state.supernet:
        curves.pop(state.supernet.id, None)
    curves = {id_: curve for id_, curve in curves.items() if len(curve[0]) > 1}
    ranked = dict.fromkeys(r.id for r in [*state.winners(), *state.ranking("search")])
    best = [id_ for id_ in ranked if id_ in curves][:_BEST]
    if not best:
        return []
    rest = sorted(curves.keys() - set(best))
    others = sorted(random.Random(0).sample(rest, min(_OTHERS, len(rest))))
    plot = new_figure(x_axis_label="epoch", y_axis_label=metric)
    if others:
        _draw_others(plot, {id_: curves[id_] for id_ in others}, metric)
    _draw_best(plot, {id_: curves[id_] for id_ in best}, metric)
    names = [f"candidate {id_}" for id_ in best] + (["others"] if others else [])
    return [
        Markup("<h3>Learning curves</h3>"),
        _words(metric, len(best), len(others), len(rest)),
        legend(zip(names, [*PALETTE[: len(best)], MUTED], strict=False)),
        plot,
    ]


def _curve(steps: Sequence[Step], metric: str) -> Curve:
    """Return a metric as it went on, with fewer points where the eye could not tell them apart."""
    told = [step for step in steps if metric in step.metrics]
    places = np.unique(np.linspace(0, len(told) - 1, min(len(told), _MOST_POINTS)).astype(int))
    kept = [told[place] for place in places]
    return [float(step.step) for step in kept], [step.metrics[metric] for step in kept]


def _words(metric: str, best: int, others: int, rest: int) -> Markup:
    grey = f"; in grey, {others} of the {rest:,} others, drawn by lot" if others < rest else ""
    grey = grey or ("; in grey, all others" if others else "")
    few = f"best {best}" if best > 1 else "best"
    return Markup("<p>{} after each epoch, of the {}{}.</p>").format(metric, few, grey)


def _draw_others(plot: figure, curves: Mapping[int, Curve], metric: str) -> None:
    values = [ys[-1] for _, ys in curves.values()]
    source = ColumnDataSource(
        {
            "id": list(curves),
            "last": compact(values),
            "x": [compact(xs) for xs, _ in curves.values()],
            "y": [compact(ys) for _, ys in curves.values()],
        }
    )
    lines = plot.multi_line("x", "y", source=source, color=MUTED, alpha=0.35)
    last = f"@last{{{number_format(values)}}}"
    tooltips = [("candidate", "@id"), (f"{metric} at the end", last)]
    plot.add_tools(HoverTool(renderers=[lines], tooltips=tooltips, visible=False))


def _draw_best(plot: figure, curves: Mapping[int, Curve], metric: str) -> None:
    for (xs, ys), colour in zip(curves.values(), PALETTE, strict=False):
        plot.line(compact(xs), compact(ys), color=colour, line_width=2)
    every = [
        (id_, x, y, colour)
        for (id_, (xs, ys)), colour in zip(curves.items(), PALETTE, strict=False)
        for x, y in zip(xs, ys, strict=True)
    ]
    ids, xs, ys, hues = (list(column) for column in zip(*every, strict=True))
    source = ColumnDataSource({"id": ids, "x": compact(xs), "y": compact(ys), "colour": hues})
    points = plot.scatter("x", "y", source=source, color="colour", size=5)
    value = f"@y{{{number_format(ys)}}}"
    tooltips = [("candidate", "@id"), ("epoch", "@x{0}"), (metric, value)]
    plot.add_tools(HoverTool(renderers=[points], tooltips=tooltips, visible=False))
