"""The family tree of a study: who descends from whom, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from bokeh.models import (
    BasicTicker,
    CDSView,
    ColumnDataSource,
    CustomJS,
    HoverTool,
    IndexFilter,
    LinearColorMapper,
    Range1d,
    TapTool,
    WheelZoomTool,
)
from bokeh.models.annotations import ColorBar
from bokeh.models.renderers import DataRenderer
from bokeh.plotting import figure
from markupsafe import Markup

from phylon.history import History
from phylon.progress import shorten
from phylon.record import Record
from phylon.report_candidates import details
from phylon.report_family import Family
from phylon.report_scales import Scale, scales_of
from phylon.report_section import Section
from phylon.report_style import MUTED, PALETTE, RAMP, compact, legend, new_figure
from phylon.state import StudyState

DESCENT = "#e5a900"
"""The colour of the line of descent, and of the best."""
_FAILED = PALETTE[6]
_LEAST = 4.0
"""Diameter in pixels of a candidate where there are very many."""
_SHOW_WORDS = """
const apart = plot.inner_width / Math.abs(plot.x_range.end - plot.x_range.start)
const below = plot.inner_height / Math.abs(plot.y_range.end - plot.y_range.start)
ids.visible = apart > 34 && below > 24
operators.visible = apart > room && below > 48
"""


def tree_section(history: History) -> Section | None:
    """Return the family tree of all candidates; None if none descends from another."""
    state = history.state
    records = [record for _, record in sorted(state.records.items())]
    if not any(record.candidate.parents for record in records):
        return None
    family = Family.of(state, records)
    scales = scales_of(state, records)
    return Section(
        "family", "Family tree", (*_controls(state, family, scales), _tree(family, scales))
    )


def _controls(state: StudyState, family: Family, scales: Sequence[Scale]) -> Sequence[Markup]:
    option = Markup('<option data-low="{}" data-high="{}" data-flipped="{}">{}</option>')
    options = [option.format(s.low, s.high, int(s.is_better_low), s.label) for s in scales]
    made = {record.candidate.operator for record in family.records if record.candidate.parents}
    kinds = {operator: hue for operator, hue in family.hues.items() if operator in made}
    kinds["line of descent"] = DESCENT
    if state.failed:
        kinds["failed (x)"] = _FAILED
    if state.best:
        kinds["best (star)"] = DESCENT
    words = Markup(
        "<p>Every candidate stands below its first parent; fainter lines lead to others. Click on "
        "one to see its line of descent, or name it. Drag to move, Ctrl and the wheel to zoom.</p>"
    )
    form = Markup(
        '<p class="note"><label>Candidate <input id="family-of" type="number" min="0" max="{}" '
        'value="{}" autocomplete="off"></label> <label>Colour <select id="family-by" '
        'autocomplete="off">{}</select></label></p>'
        "<script>{}</script>"
    ).format(
        family.records[-1].id,
        family.records[family.shown].id,
        Markup("").join(options),
        Markup(_script("report_tree_page.js")),
    )
    return words, form, legend(kinds.items())


def _tree(family: Family, scales: Sequence[Scale]) -> figure:
    rows, x = int(family.places.row.max()), family.places.x
    plot = new_figure(
        name="family-tree",
        height=int(min(760, max(360, 70 * (rows + 1)))),
        x_range=Range1d(start=float(x.min()) - 1, end=float(x.max()) + 1),
        y_range=Range1d(start=rows + 0.6, end=-0.6),
        y_axis_label="generation",
        title="Line of descent",
        tools="pan,box_zoom,reset,save",
        active_drag="pan",
        output_backend="webgl",
    )
    plot.xaxis.visible = plot.xgrid.visible = False
    plot.yaxis.ticker = BasicTicker(min_interval=1)
    _draw_edges(plot, family)
    source, tooltips = _source(family, scales)
    line = ColumnDataSource({"id": [], "x": [], "y": []}, name="descent")
    way, aside = (ColumnDataSource({"x": [], "y": []}) for _ in range(2))
    strong = 4.0 if _size(family) > _LEAST else 2.5
    plot.line("x", "y", source=aside, color=DESCENT, line_width=1.5, line_dash=[3, 4])
    plot.line("x", "y", source=way, color=DESCENT, line_width=strong, line_join="round")
    renderers = _draw_candidates(plot, family, source, scales)
    plot.scatter(
        "x", "y", source=line, size=_size(family) + strong, fill_color=None, line_color=DESCENT,
        line_width=strong / 2,
    )  # fmt: skip
    _draw_best(plot, family)
    _write(plot, source)
    wheel = WheelZoomTool(modifiers="ctrl")
    hover = HoverTool(renderers=renderers, tooltips=tooltips, limit=3)
    plot.add_tools(wheel, hover, TapTool(renderers=renderers))
    plot.toolbar.active_scroll = wheel
    sources = {"nodes": source, "line": line, "way": way, "aside": aside}
    _keep_shown(plot, sources, family.smoothness)
    return plot


def _keep_shown(plot: figure, sources: Mapping[str, ColumnDataSource], points: int) -> None:
    """Draw the line of descent of whoever is selected, from the first layout of the page on."""
    code = _script("report_tree.js")
    show = CustomJS(args={**sources, "title": plot.title, "points": points}, code=code)
    sources["nodes"].selected.js_on_change("indices", show)
    plot.js_on_change("inner_width", show)


def _write(plot: figure, source: ColumnDataSource) -> None:
    """Write ids beside candidates, and operators on the edges, as soon as there is room."""
    common: dict[str, Any] = {
        "source": source, "visible": False, "text_font_size": "10px",
        "text_color": MUTED, "nonselection_text_alpha": 1.0,
    }  # fmt: skip
    words = {
        "ids": plot.text("x", "y", text="id", x_offset=9, y_offset=-4, **common),
        "operators": plot.text("middle_x", "middle_y", text="edge", text_align="center", **common),
    }
    room = 10 + 6 * max(map(len, source.data["edge"]))
    show = CustomJS(args={**words, "plot": plot, "room": room}, code=_SHOW_WORDS)
    plot.x_range.js_on_change("end", show)
    plot.js_on_change("inner_width", show)


def _script(name: str) -> str:
    return files("phylon").joinpath(name).read_text(encoding="utf-8")


def _size(family: Family) -> float:
    """Return the diameter of a candidate in pixels: less where there are many."""
    return min(14.0, max(_LEAST, 170 / math.sqrt(len(family.records))))


def _source(
    family: Family, scales: Sequence[Scale]
) -> tuple[ColumnDataSource, list[tuple[str, str]]]:
    columns, tooltips = details(family.state, family.records)
    records = family.records
    columns["x"], columns["y"] = compact(family.places.x), compact(family.places.row)
    columns["parents"] = [list(record.candidate.parents) for record in records]
    x, row = family.places.x, family.places.row
    first = [known[0] if known else n for n, known in enumerate(family.parents)]
    columns["middle_x"] = compact((x[first] + x) / 2)
    columns["middle_y"] = compact((row[first] + row) / 2)
    columns["edge"] = [r.candidate.operator if r.candidate.parents else "" for r in records]
    columns["state"] = [_state(family.state, record) for record in records]
    for number, scale in enumerate(scales):
        columns[f"s{number}"] = scale.values
    columns["shade"] = scales[0].values if scales else compact([math.nan] * len(records))
    told = [("parents", "@parents"), ("state", "@state")]
    source = ColumnDataSource(columns, name="family")
    source.selected.indices = [family.shown]
    return source, [*tooltips, *told]


def _state(state: StudyState, record: Record) -> str:
    if record.state == "failed":
        return f"failed: {shorten(record.reason)}"
    is_infeasible = record.state == "completed" and state.violation(record)
    return "misses a constraint" if is_infeasible else record.state


def _draw_edges(plot: figure, family: Family) -> None:
    strength = min(0.7, max(0.25, 12 / math.sqrt(len(family.records))))
    for of_first, share in ((False, 0.35), (True, 1.0)):
        for operator, hue in family.hues.items():
            parents, children = family.edges(operator, of_first=of_first)
            if parents:
                x, y = family.curves(parents, children)
                plot.line(
                    x, y, color=hue, alpha=strength * share, line_width=1.2 if of_first else 1.0
                )


def _draw_candidates(
    plot: figure, family: Family, source: ColumnDataSource, scales: Sequence[Scale]
) -> list[DataRenderer]:
    mapper = LinearColorMapper(palette=list(RAMP), nan_color=MUTED, name="shades")
    if scales:
        first = scales[0]
        mapper.low, mapper.high = first.low, first.high
        mapper.palette = list(RAMP[::-1] if first.is_better_low else RAMP)
        bar = ColorBar(
            color_mapper=mapper, width=8, background_fill_color=None, bar_line_color=None,
            major_label_text_color=MUTED, major_tick_line_color=None,
        )  # fmt: skip
        plot.add_layout(bar, "right")
    failed = IndexFilter(
        indices=[n for n, each in enumerate(family.records) if each.state == "failed"]
    )
    size = _size(family)
    whole: dict[str, Any] = {"nonselection_alpha": 1.0, "hit_dilation": 1.5}
    fill: Any = {"field": "shade", "transform": mapper}
    return [
        plot.scatter(
            "x", "y", source=source, view=CDSView(filter=~failed), size=size,
            fill_color=fill, line_color=MUTED, line_width=0.5, **whole,
        ),
        plot.scatter(
            "x", "y", source=source, view=CDSView(filter=failed), size=size, marker="x",
            line_color=_FAILED, line_width=1.5, **whole,
        ),
    ]  # fmt: skip


def _draw_best(plot: figure, family: Family) -> None:
    if family.state.best:
        x, y = family.places.x[family.shown], family.places.row[family.shown]
        size = max(22.0, 1.9 * _size(family))
        plot.scatter([x], [y], marker="star", size=size, color=DESCENT, line_color="#5c4300")
