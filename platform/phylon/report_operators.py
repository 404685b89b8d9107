"""The report's answer to which operators paid off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bokeh.models import ColumnDataSource, HoverTool, Range1d
from bokeh.plotting import figure
from markupsafe import Markup

from phylon.costs import is_heir
from phylon.history import History
from phylon.operator_gains import LEAST, OperatorGains, operator_gains
from phylon.report_candidates import percent
from phylon.report_section import Part, Section
from phylon.report_style import MUTED, PALETTE, new_figure
from phylon.report_table import table
from phylon.search.objective import Objective

_INTRODUCTION = Markup(
    "<p>The gain of a child over the best of its parents, where both were measured alike and meet "
    "the constraints; above 0 the child is better. Lines, and what is in brackets, are 95 % "
    "intervals of the mean. Parents are chosen for their good results, some of which were luck, so "
    "the mean of most operators is below 0: compare them with each other, and see how often and by "
    "how much they win.</p>"
)
_INHERITED = Markup(
    "<p>Children of this study began with the weights of a parent, so a gain is that of the change "
    "and of the child's training, on top of the parent's: what an operator adds is what it gains "
    "over one that changes nothing, such as <code>continue</code>.</p>"
)
_HEADINGS = (
    "operator", "children", "failed or infeasible", "compared", "better", "mean gain",
    "median gain", "largest gain",
)  # fmt: skip


def operators_section(history: History) -> Section | None:
    """Return what operators gained; None if no child can be compared with its parents."""
    parts: list[Part] = []
    for objective in history.state.objectives:
        gains = operator_gains(history.state, objective)
        if gains:
            parts += _of(objective, gains, is_one_of_several=len(history.state.objectives) > 1)
    if not parts:
        return None
    searched = (r for r in history.state.records.values() if r.candidate.phase == "search")
    inherits = any(is_heir(record) and not record.candidate.is_scored for record in searched)
    words = (_INTRODUCTION, _INHERITED) if inherits else (_INTRODUCTION,)
    return Section("operators", "Which operators paid off", (*words, *parts))


def _of(
    objective: Objective, gains: Sequence[OperatorGains], *, is_one_of_several: bool
) -> Iterator[Part]:
    if is_one_of_several:
        yield Markup("<h3>{}</h3>").format(objective.metric)
    sure = [each for each in gains if each.low is not None]
    if sure:
        yield _figure(objective, sure)
    yield table(_HEADINGS, map(_row, gains), numbers=_HEADINGS[1:])
    if len(sure) < len(gains):
        words = '<p class="note">No interval is given for fewer than {} children.</p>'
        yield Markup(words).format(LEAST)


def _figure(objective: Objective, gains: Sequence[OperatorGains]) -> figure:
    upwards = list(reversed(gains))
    names = [each.operator for each in upwards]
    data = ColumnDataSource(
        {
            "operator": names,
            "compared": [each.compared for each in upwards],
            **{key: [getattr(each, key) for each in upwards] for key in ("mean", "low", "high")},
            "told": [_mean(each) for each in upwards],
        }
    )
    way = "more" if objective.direction == "maximize" else "less"
    label = f"mean gain: by how much there is {way} {objective.metric}"
    ends = [0.0, *(each.low or 0.0 for each in gains), *(each.high or 0.0 for each in gains)]
    room = 0.05 * (max(ends) - min(ends)) or 1.0
    plot = new_figure(
        x_range=Range1d(start=min(ends) - room, end=max(ends) + room),
        y_range=names,
        height=90 + 34 * len(names),
        x_axis_label=label,
    )
    plot.vspan(x=[0.0], color=MUTED, line_dash="dashed")
    plot.segment("low", "operator", "high", "operator", source=data, color=PALETTE[0], line_width=3)
    points = plot.scatter("mean", "operator", source=data, color=PALETTE[0], size=10)
    tips = [
        ("operator", "@operator"),
        ("compared", "@compared"),
        ("mean gain", "@told"),
    ]
    plot.add_tools(HoverTool(tooltips=tips, renderers=[points]))
    plot.ygrid.visible = False
    return plot


def _row(each: OperatorGains) -> tuple[str, ...]:
    return (
        each.operator,
        f"{each.children:,}",
        f"{each.lost:,}",
        f"{each.compared:,}",
        percent(each.better / each.compared) if each.compared else "",
        _mean(each),
        _signed(each.median),
        _signed(each.largest),
    )


def _mean(each: OperatorGains) -> str:
    if each.low is None or each.high is None:
        return _signed(each.mean)
    return f"{_signed(each.mean)} ({_signed(each.low)} to {_signed(each.high)})"


def _signed(gain: float | None) -> str:
    """Return a gain as text; nothing if there is none.

    >>> _signed(0.012345), _signed(-34567.8)
    ('+0.0123', '-34,568')
    """
    if gain is None:
        return ""
    return f"{gain:+,.0f}" if abs(gain) >= 1000 else f"{gain:+.3g}"
