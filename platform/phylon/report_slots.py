"""How the cluster was used: what ran where and when, node by node."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Range1d
from bokeh.models.renderers import DataRenderer
from bokeh.plotting import figure
from markupsafe import Markup

from phylon.history import History
from phylon.progress import clock
from phylon.record import Record
from phylon.report_candidates import by_ending, host_of, operator_colours, percent
from phylon.report_lanes import Clock, Floats, lanes
from phylon.report_section import Part, Section
from phylon.report_style import MUTED, PALETTE, compact, legend, new_figure
from phylon.report_table import table
from phylon.scores import FROM_MEMORY

MOST_LABELS, MOST_ROWS = 30, 20
_FAILED = "failed"
_UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


@dataclass(frozen=True)
class _Node:
    """What ran on a node.

    Attributes:
        name: Of the node.
        records: What ran there.
        begins: When each did begin, by the study's clock.
        ends: When each ended.
        lanes: In which lane each ran.
    """

    name: str
    records: list[Record]
    begins: Floats
    ends: Floats
    lanes: list[int]

    @property
    def slots(self) -> int:
        """How many ran at once, at most."""
        return max(self.lanes) + 1

    @property
    def busy(self) -> float:
        """Seconds that candidates took, all together."""
        return float((self.ends - self.begins).sum())


def slots_section(history: History) -> Section | None:
    """Return what ran on which node when; None if nothing is known of that."""
    clocked = Clock.of(history)
    nodes = _nodes(history, clocked)
    if not nodes:
        return None
    kinds = Counter(_kind(record) for node in nodes for record in node.records)
    drawn = {**operator_colours(history.state), _FAILED: PALETTE[6]}
    meaning = legend((kind, drawn[kind]) for kind, _ in kinds.most_common())
    words, rows = _words(history, clocked, nodes), _table(nodes, clocked.total)
    parts: tuple[Part, ...] = (*words, meaning, _figure(nodes, clocked, drawn), *rows)
    return Section("slots", "How the cluster was used", parts)


def _kind(record: Record) -> str:
    return _FAILED if record.state == "failed" else record.candidate.operator


def _nodes(history: History, clocked: Clock) -> list[_Node]:
    ran: dict[str, list[Record]] = defaultdict(list)
    for record in by_ending(history.state):
        if record.seconds > 0 and record.node not in ("", FROM_MEMORY):
            ran[record.node].append(record)
    nodes = []
    for name, records in sorted(ran.items()):
        ended = np.array([record.ended for record in records], dtype=np.float64)
        begins = clocked.read(ended - [record.seconds for record in records])
        ends = clocked.read(ended)
        taken = lanes(begins.tolist(), ends.tolist())
        nodes.append(_Node(name, records, begins, ends, taken))
    return nodes


def _words(history: History, clocked: Clock, nodes: Sequence[_Node]) -> Iterator[Markup]:
    busy, slots = sum(node.busy for node in nodes), sum(node.slots for node in nodes)
    words = (
        "<p>On average {} at work at once. That is {} of {}: as many were in "
        "use at the same time, on {}. Each bar is a candidate, from the beginning to the end of "
        "its last attempt{}.</p>"
    )
    where = "one node" if len(nodes) == 1 else f"{len(nodes)} nodes"
    open_ones = len(history.state.pending)
    missing = f"; {open_ones} that are still open are not shown" if open_ones else ""
    share = busy / (clocked.total * slots) if clocked.total else 0.0
    mean = f"{busy / clocked.total if clocked.total else 0.0:.3g}"
    yield Markup(words).format(
        f"{mean} candidate was" if mean == "1" else f"{mean} candidates were",
        percent(share),
        "one slot" if slots == 1 else f"{slots} slots",
        where,
        missing,
    )
    if clocked.pauses:
        away = sum(pause.ended - pause.began for pause in clocked.pauses)
        times = "once" if len(clocked.pauses) == 1 else f"{len(clocked.pauses)} times"
        words = (
            "<p>No driver ran {}, {} in all. That time is left out, and a dashed line is where it "
            "was.</p>"
        )
        yield Markup(words).format(times, clock(away))


def _figure(nodes: Sequence[_Node], clocked: Clock, drawn: dict[str, str]) -> figure:
    unit, seconds = next(u for u in _UNITS if clocked.total >= 2 * u[1] or u[1] == 1.0)
    firsts = np.cumsum([0, *(node.slots + 1 for node in nodes)]).tolist()
    plot = new_figure(
        height=min(120 + 14 * firsts[-1], 760),
        x_axis_label=f"{unit} that a driver ran",
        output_backend="webgl",
        x_range=Range1d(start=0.0, end=clocked.total / seconds or 1.0, bounds="auto"),
        y_range=Range1d(start=firsts[-1] - 0.5, end=-1.0),
    )
    columns: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for node, first in zip(nodes, firsts, strict=False):
        rows = zip(node.records, node.begins, node.ends, node.lanes, strict=True)
        for record, begin, end, lane in rows:
            row = (record.id, begin / seconds, end / seconds, first + lane, record.seconds)
            columns[_kind(record)].append(row)
    bars = [_bars(plot, kind, columns[kind], drawn[kind]) for kind in sorted(columns)]
    tips = [("candidate", "@id"), ("kind", "$name"), ("seconds", "@took{0,0.[0]}")]
    plot.add_tools(HoverTool(tooltips=tips, renderers=bars))
    resumed = clocked.read(np.array([pause.ended for pause in clocked.pauses])) / seconds
    plot.vspan(x=resumed.tolist(), color=MUTED, line_dash="dashed", line_width=2)
    _label_nodes(plot, nodes, firsts)
    return plot


def _bars(plot: figure, kind: str, rows: list[tuple[float, ...]], colour: str) -> DataRenderer:
    ids, begins, ends, places, took = np.array(rows).T
    data = ColumnDataSource(
        {
            "id": ids.astype(np.int32),
            "left": compact(begins),
            "right": compact(ends),
            "lane": compact(places),
            "took": compact(took),
        }
    )
    return plot.hbar(
        y="lane", left="left", right="right", height=0.8, source=data, name=kind,
        fill_color=colour, line_color=None,
    )  # fmt: skip


def _label_nodes(plot: figure, nodes: Sequence[_Node], firsts: Sequence[int]) -> None:
    """Write each node's name beside its lanes, as many as there is room for."""
    every = -(-len(nodes) // MOST_LABELS)
    middles = [first + (node.slots - 1) / 2 for node, first in zip(nodes, firsts, strict=False)]
    plot.yaxis.ticker = FixedTicker(ticks=middles[::every])
    names = (_short(node.name, nodes) for node in nodes[::every])
    plot.yaxis.major_label_overrides = dict(zip(middles[::every], names, strict=True))
    plot.ygrid.visible = False


def _short(name: str, nodes: Sequence[_Node]) -> str:
    """Return the host of a node's name, or the whole where two nodes are on one host."""
    host = host_of(name)
    return host if sum(host_of(node.name) == host for node in nodes) == 1 else name


def _table(nodes: Sequence[_Node], total: float) -> Iterator[Markup]:
    headings = ("node", "candidates", "busy", "slots", "in use")
    ranked = sorted(nodes, key=lambda node: -node.busy)
    rows = [
        (
            _short(node.name, nodes),
            f"{len(node.records):,}",
            clock(node.busy),
            node.slots,
            percent(node.busy / (total * node.slots) if total else 0.0),
        )
        for node in ranked[:MOST_ROWS]
    ]
    yield table(headings, rows, numbers=headings[1:])
    if len(nodes) > MOST_ROWS:
        rest = len(nodes) - MOST_ROWS
        yield Markup("<p>And {} other node{}.</p>").format(rest, "s" * (rest > 1))
