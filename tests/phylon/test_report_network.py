"""The winner's network in the report: drawn, and in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bokeh.models import Text
from bokeh.plotting import figure
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from phylon import events
from phylon.cluster.location import Location
from phylon.history import History
from phylon.network_graph import CellGraph, Edge, cell_graph, draw_cell, lanes_of
from phylon.report_network import network_section
from phylon.report_section import Section
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate
from phylon.search.cell import Cell
from phylon.search.space import SearchSpace
from phylon.state import StudyState
from phylon.trainables.darts import darts_space
from phylon.trainables.macro import macro_space
from phylon.trainables.nasbench201 import from_string


def section_of(tmp_path: Path, decisions: Mapping[str, Any], *later: events.Event) -> Section:
    config = {"objectives": [{"metric": "y"}]}
    created = events.Created(uid="uid", config=config, space={}, metrics=["y", "params"])
    metrics = {"y": 0.75, "params": 12_340.0}
    state = StudyState([created])
    state.apply(events.Proposed(candidate=Candidate(0, Architecture(decisions))))
    for event in (events.Completed(candidate_id=0, metrics=metrics, seconds=65.0), *later):
        state.apply(event)
    section = network_section(History(Location(tmp_path), state, {}, [], [], created))
    assert section is not None
    return section


def figures(section: Section) -> list[figure]:
    return [part for part in section.parts if isinstance(part, figure)]


def words_in(plot: figure) -> list[str]:
    """Return all texts that are drawn."""
    texts: list[str] = []
    for renderer in plot.renderers:
        if isinstance(renderer.glyph, Text):
            texts += renderer.data_source.data["text"]
    return texts


def text_of(section: Section) -> str:
    return str(Markup("").join(part for part in section.parts if isinstance(part, Markup)))


def sampled(space: SearchSpace, seed: int = 0) -> dict[str, Any]:
    return space.sample(np.random.default_rng(seed)).nested


def test_there_is_none_before_a_candidate_has_completed(tmp_path: Path) -> None:
    created = events.Created(
        uid="u", config={"objectives": [{"metric": "y"}]}, space={}, metrics=[]
    )
    assert (
        network_section(History(Location(tmp_path), StudyState([created]), {}, [], [], created))
        is None
    )


def test_numbers_stand_beside_it(tmp_path: Path) -> None:
    tested = events.Tested(candidate_ids=[0], metrics={"test_y": [0.5]})
    text = text_of(section_of(tmp_path, {"units": 7, "rate": 0.25}, tested))
    for told in ("0.7500", "12.3k", "test_y", "0.5000", "1:05", "units", "7", "0.25"):
        assert f">{told}<" in text or told in text


def test_cell_of_nasbench201_is_drawn_without_its_dead_edges(tmp_path: Path) -> None:
    text = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    (plot,) = figures(section_of(tmp_path, from_string(text).nested))
    drawn = ["avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3", "skip_connect"]
    assert sorted(words_in(plot)) == sorted([*drawn, "in", "1", "2", "out"])


def test_both_cells_of_darts_are_drawn(tmp_path: Path) -> None:
    decisions = sampled(darts_space())
    normal, reduction = figures(section_of(tmp_path, decisions))
    for plot, cell in ((normal, decisions["normal"]), (reduction, decisions["reduction"])):
        operations = [node[slot]["operation"] for node in cell.values() for slot in node]
        assert sorted(w for w in words_in(plot) if "_" in w) == sorted(operations)


def test_stages_are_drawn_as_blocks(tmp_path: Path) -> None:
    decisions = sampled(macro_space(32), seed=3)
    section = section_of(tmp_path, decisions)
    (plot,) = figures(section)
    words = words_in(plot)
    for stage in decisions["stages"]:
        block = stage["block"]
        kernel = block["kernel"]
        assert f"{stage['width']} channels" in words
        assert f"{stage['depth']} x {block['type']} {kernel}x{kernel}" in words
    assert "learning rate" in text_of(section)


def test_other_spaces_are_tables_of_decisions(tmp_path: Path) -> None:
    decisions = {
        "layers": [{"units": 64, "norm": True}, {"units": 32, "act": "relu"}],
        "widths": [8, 16],
        "head": {"type": "mlp", "hidden": 24},
        "evil": "<script>alert(1)</script>",
    }
    section = section_of(tmp_path, decisions)
    assert figures(section) == []
    text = text_of(section)
    for cell in ("64", "32", "relu", "[8; 16]", "24", "yes"):
        assert f">{cell}</td>" in text
    assert "head, hidden" in text
    assert "<script>" not in text


CELL = Cell(5, ("none", "skip_connect", "conv"))


@given(st.integers(0, 2**32 - 1))
def test_arcs_of_a_cell_do_not_hide_each_other(seed: int) -> None:
    graph = cell_graph(CELL.sample(np.random.default_rng(seed)))
    assert graph is not None
    drawn = sorted(zip(lanes_of(graph.edges), graph.edges, strict=True))
    for (lane, one), (other_lane, other) in pairwise(drawn):
        assert lane != other_lane or one.target <= other.source


def test_value_that_is_no_cell_has_no_graph() -> None:
    assert cell_graph({"kernel": 3}) is None


@pytest.mark.parametrize("reach", [1, 2, 3])
def test_two_edges_between_the_same_nodes_are_both_seen(reach: int) -> None:
    plot = draw_cell("cell", CellGraph("abcd", [Edge(0, reach, "conv"), Edge(0, reach, "pool")]))
    assert {"conv", "pool"} <= set(words_in(plot))
    heights = [
        renderer.data_source.data["y"][0]
        for renderer in plot.renderers
        if isinstance(renderer.glyph, Text) and len(renderer.data_source.data["text"]) == 1
    ]
    assert len(set(heights)) == 2
