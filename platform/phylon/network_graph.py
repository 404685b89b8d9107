"""Drawings of networks: cells as graphs, stages as blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from bokeh.plotting import figure

from phylon.report_style import MUTED, colours, new_figure
from phylon.search.wired_cell import INPUTS, wires
from phylon.trainables.darts import wired_cell_of
from phylon.trainables.nasbench201 import cell_of
from phylon.trainables.words import POOLINGS

_NODE, _LANE, _SPACE = "#5b6470", 48, 26
_BETWEEN_BLOCKS, _BETWEEN_STAGES = 0.12, 1.1


class Edge(NamedTuple):
    """An operation that leads from one node of a cell to another one."""

    source: int
    target: int
    operation: str


class CellGraph(NamedTuple):
    """What a cell computes.

    Attributes:
        names: Of its nodes, from left to right.
        edges: Between them, by their indices.
        remark: What the edges do not tell; may be empty.
    """

    names: Sequence[str]
    edges: Sequence[Edge]
    remark: str = ""


def cell_graph(value: Mapping[str, Any]) -> CellGraph | None:
    """Return a cell as a graph, without edges that bring nothing; None if the value is no cell."""
    if cell := cell_of(value):
        names = ["in", *map(str, range(1, cell.nodes - 1)), "out"]
        return CellGraph(names, [Edge(*ends, name) for ends, name in cell.live(dict(value))])
    if wired_cell_of(value):
        edges = [
            Edge(source, target, operation)
            for target, node in enumerate(wires(value), start=INPUTS)
            for source, operation in node
        ]
        names = ["in 1", "in 2", *map(str, range(INPUTS, INPUTS + len(value)))]
        return CellGraph(names, edges, f"the output is nodes {INPUTS} to {names[-1]} side by side")
    return None


def draw_cell(title: str, cell: CellGraph) -> figure:
    """Draw a cell: its nodes in a row, and operations as arcs that go from left to right."""
    names, edges, remark = cell
    lanes = lanes_of(edges)
    top, bottom = (max([0, *(sign * height for height in lanes)]) for sign in (1, -1))
    plot = new_figure(
        title=f"{title}: {remark}" if remark else title,
        height=_LANE * (top + bottom) + 3 * _SPACE,
        x_range=(-0.6, len(names) - 0.4),
        y_range=(-bottom - _SPACE / _LANE, top + _SPACE / _LANE),
        tools="",
        toolbar_location=None,
    )
    plot.axis.visible = plot.grid.visible = False
    hues = colours(edge.operation for edge in edges)
    along = np.linspace(0, np.pi, 40)
    for (source, target, operation), height in zip(edges, lanes, strict=True):
        middle, reach = (source + target) / 2, (target - source) / 2
        x, y = middle - reach * np.cos(along), height * np.sin(along)
        plot.line(x, y, color=hues[operation], line_width=2.5)
        plot.text(
            [middle], [height], text=[operation], y_offset=-4 if height >= 0 else 4,
            text_align="center", text_baseline="bottom" if height >= 0 else "top",
            text_font_size="11px", text_color=hues[operation],
        )  # fmt: skip
    places = np.arange(len(names), dtype=float)
    plot.scatter(places, np.zeros(len(names)), size=34, color=_NODE)
    plot.text(
        places, np.zeros(len(names)), text=list(names), text_color="white", text_align="center",
        text_baseline="middle", text_font_size="11px",
    )  # fmt: skip
    return plot


def lanes_of(edges: Sequence[Edge]) -> list[int]:
    """Return how high each edge goes, in lanes: arcs of a lane do not overlap; 0 is straight.

    Short arcs are inside. Of the sides, above and below (negative), the one with room is taken.
    """
    taken: dict[int, list[Edge]] = {}
    heights = [0] * len(edges)
    for number in sorted(range(len(edges)), key=lambda n: edges[n].target - edges[n].source):
        edge = edges[number]
        lanes = range(edge.target - edge.source > 1, len(edges) + 1)
        heights[number] = next(
            height
            for lane in lanes
            for height in ((lane, -lane) if lane else (0,))
            if not any(_overlap(edge, other) for other in taken.get(height, ()))
        )
        taken.setdefault(heights[number], []).append(edge)
    return heights


def _overlap(one: Edge, other: Edge) -> bool:
    return one.source < other.target and other.source < one.target


def draw_stages(stages: Sequence[Mapping[str, Any]]) -> figure:
    """Draw the stages of the macro space from left to right: a box for each block.

    The height of a box tells its channels.
    """
    hues = colours(stage["block"]["type"] for stage in stages for _ in range(stage["depth"]))
    widest = max(stage["width"] for stage in stages)
    plot = new_figure(height=230, y_range=(-0.42, 1.25), tools="", toolbar_location=None)
    plot.axis.visible = plot.grid.visible = False
    words: dict[str, Any] = {"text_align": "center", "text_font_size": "11px", "text_color": MUTED}
    left = 0.0
    for stage in stages:
        hue, half = hues[stage["block"]["type"]], stage["width"] / widest / 2
        begins = left + np.arange(stage["depth"])
        plot.quad(
            left=begins, right=begins + 1 - _BETWEEN_BLOCKS, bottom=0.5 - half, top=0.5 + half,
            color=hue, line_color=None,
        )  # fmt: skip
        end = left + stage["depth"] - _BETWEEN_BLOCKS
        middle = [(left + end) / 2]
        kernel = stage["block"]["kernel"]
        plot.text(middle, [1.08], text=[f"{stage['width']} channels"], **words)
        kind = f"{stage['depth']} x {stage['block']['type']} {kernel}x{kernel}"
        plot.text(middle, [-0.18], text=[kind], **words)
        plot.text(middle, [-0.36], text=[POOLINGS[stage["pooling"]]], **words)
        left = end + _BETWEEN_STAGES
    plot.segment(-_BETWEEN_STAGES, 0.5, left, 0.5, color=MUTED, level="underlay")
    return plot
