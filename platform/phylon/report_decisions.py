"""The report's answer to which decisions of networks mattered."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter
from bokeh.plotting import figure
from markupsafe import Markup

from phylon.history import History
from phylon.record import Record
from phylon.report_candidates import percent
from phylon.report_section import Part, Section
from phylon.report_style import PALETTE, new_figure
from phylon.search.architecture import Architecture
from phylon.search.importance import LEAST, Importance, Share, importance
from phylon.search.objective import Objective
from phylon.state import StudyState

MOST_BARS = 15
_ELSEWHERE = ("supernet", "final")

_INTRODUCTION = Markup(
    "<p>How much of the differences between results each decision has part in, alone or together "
    "with others: shares may add up to more than 100 %. Lines are 95 % intervals. A forest of "
    "trees learned the results by their rank; each decision was then taken from another candidate, "
    "and the bar tells how much worse the forest did on candidates it had not been shown. All this "
    "holds among the networks that this search tried, and elsewhere perhaps not.</p>"
)


def decisions_section(history: History) -> Section | None:
    """Return which decisions the results hang on; None if nothing completed."""
    state = history.state
    records = _most_alike(state)
    if not records:
        return None
    networks: dict[Architecture, list[Record]] = defaultdict(list)
    for record in records:
        networks[record.candidate.architecture].append(record)
    parts: list[Part] = []
    for objective in state.objectives:
        losses = [_mean_loss(objective, group) for group in networks.values()]
        found = importance([each.flat for each in networks], losses)
        if len(state.objectives) > 1:
            parts.append(Markup("<h3>{}</h3>").format(objective.metric))
        parts += _shown(found, _basis(found, networks))
    told = [_INTRODUCTION] if any(isinstance(part, figure) for part in parts) else []
    return Section("decisions", "Which decisions mattered", (*told, *parts))


def _most_alike(state: StudyState) -> list[Record]:
    """Return the most results of the search that may be compared: after equally many epochs.

    Scores with shared weights that were given up tell nothing.
    """
    kinds: dict[int | None, list[Record]] = defaultdict(list)
    for record in state.records.values():
        candidate = record.candidate
        is_given_up = state.has_switched and candidate.is_scored
        if record.state == "completed" and not is_given_up and candidate.phase not in _ELSEWHERE:
            kinds[candidate.epochs].append(record)
    return max(kinds.values(), key=len, default=[])


def _mean_loss(objective: Objective, records: Sequence[Record]) -> float:
    return statistics.fmean(objective.loss(record.metrics) for record in records)


def _basis(found: Importance | None, networks: Mapping[Architecture, Sequence[Record]]) -> str:
    """Say what was looked at: ``950 different networks, each after 8 epochs``."""
    epochs = statistics.mode(r.epochs for records in networks.values() for r in records)
    how = f"each after {epochs} epoch{'s' * (epochs != 1)}" if epochs else "with shared weights"
    total = f"{len(networks):,} different networks"
    if found and found.seen < len(networks):
        total = f"{found.seen:,} of {total}, drawn at random"
    return f"{total}, {how}"


def _shown(found: Importance | None, basis: str) -> Iterator[Part]:
    if found is None:
        words = (
            "<p>Too little to tell: there are {}; it takes {} with different results and decisions."
            "</p>"
        )
        yield Markup(words).format(basis, LEAST)
        return
    if not found.is_telling:
        words = (
            "<p>Nothing can be told: from {}, a model learned nothing that it could prove on "
            "networks it had not been shown ({}). The results may be noise, or too few.</p>"
        )
        yield Markup(words).format(basis, _explained(found.fit))
        return
    yield Markup("<p>From {}. The forest explains {} of results it was not shown.</p>").format(
        basis, _with_interval(found.fit)
    )
    yield _bars(found.decisions[:MOST_BARS])
    if rest := found.decisions[MOST_BARS:]:
        others = f"Each of the other {len(rest)} decisions" if len(rest) > 1 else "The other one"
        most = percent(max(0.0, rest[0].value))
        yield Markup("<p>{} has part in {} at most.</p>").format(others, most)
    if found.pair:
        yield _together(found.pair)


def _bars(shares: Sequence[Share]) -> figure:
    names = [each.of[0] for each in reversed(shares)]
    columns = {key: [round(getattr(s, key), 4) for s in reversed(shares)] for key in _NUMBERS}
    data = ColumnDataSource({"decision": names, **columns})
    plot = new_figure(
        y_range=names, height=60 + 26 * len(names), x_axis_label="share of the differences"
    )
    bars = plot.hbar(
        y="decision", right="value", height=0.6, color=PALETTE[0], line_color=None, source=data
    )
    ends = plot.segment(
        "low", "decision", "high", "decision", color=PALETTE[1], line_width=2, source=data
    )
    tips = [
        ("decision", "@decision"),
        ("share", "@value{0.0 %}"),
        ("95 % interval", "@low{0.0 %} to @high{0.0 %}"),
    ]
    plot.add_tools(HoverTool(tooltips=tips, renderers=[bars, ends]))
    plot.xaxis.formatter = NumeralTickFormatter(format="0 %")
    plot.ygrid.visible = False
    return plot


_NUMBERS = ("value", "low", "high")


def _together(pair: Share) -> Markup:
    first, second = pair.of
    if pair.low <= 0:
        words = (
            "<p>There is no sign that <code>{}</code> and <code>{}</code> depend on each other.</p>"
        )
        return Markup(words).format(first, second)
    words = (
        "<p>How good a value of <code>{}</code> is depends on <code>{}</code>, and the other way "
        "round: {} of the differences are due to both together alone.</p>"
    )
    return Markup(words).format(first, second, _with_interval(pair))


def _explained(fit: Share) -> str:
    return (
        f"it explains {_with_interval(fit)} of them"
        if fit.value > 0
        else "it explains none of them"
    )


def _with_interval(share: Share) -> str:
    return f"{percent(share.value)} ({percent(share.low)} to {percent(share.high)})"
