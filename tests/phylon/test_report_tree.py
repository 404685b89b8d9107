"""The family tree: where candidates stand, and what the figure holds of them."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bokeh.models import ColumnDataSource, LinearColorMapper
from bokeh.plotting import figure
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from phylon import events
from phylon.cluster.location import Location
from phylon.history import History, read_history
from phylon.report_section import Section
from phylon.report_tree import tree_section
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate
from phylon.state import StudyState
from phylon.tree_layout import place
from tests.phylon.big_study import big_study


@st.composite
def families(draw: st.DrawFn) -> list[list[int]]:
    """Parents by index, each before its children."""
    sizes = draw(st.lists(st.integers(0, 3), min_size=1, max_size=30))
    return [
        draw(st.lists(st.integers(0, n - 1), max_size=size, unique=True)) if n else []
        for n, size in enumerate(sizes)
    ]


@given(families())
def test_nobody_stands_on_another_and_all_below_their_parents(parents: list[list[int]]) -> None:
    places = place(parents)
    for member, known in enumerate(parents):
        assert places.row[member] == max((places.row[p] + 1 for p in known), default=0)
    for row in range(places.row.max() + 1):
        x = np.sort(places.x[places.row == row])
        assert np.all(np.diff(x) > 0.999)


def descendants(parents: list[list[int]], top: int) -> set[int]:
    found = {top}
    for member, known in enumerate(parents):
        if known and known[0] in found:
            found.add(member)
    return found


@given(families())
def test_subtrees_do_not_reach_into_each_other(parents: list[list[int]]) -> None:
    places = place(parents)
    tops = [member for member, known in enumerate(parents) if not known]
    for one, other in itertools.pairwise(tops):
        a, b = (list(descendants(parents, top)) for top in (one, other))
        for row in set(places.row[a]) & set(places.row[b]):
            left, right = (places.x[[m for m in s if places.row[m] == row]] for s in (a, b))
            assert left.max() < right.min() or right.max() < left.min()


@given(families(), st.data())
def test_trunk_goes_straight_down(parents: list[list[int]], data: st.DataObject) -> None:
    line = [data.draw(st.integers(0, len(parents) - 1))]
    while parents[line[-1]]:
        line.append(parents[line[-1]][0])
    assert len(set(place(parents, line).x[line])) == 1


def test_ten_thousand_are_placed_in_seconds() -> None:
    rng = np.random.default_rng(0)
    parents = [
        list({*rng.integers(max(0, n - 60), n, 2).tolist()}) if n else [] for n in range(10_000)
    ]
    began = time.process_time()
    places = place(parents)
    assert time.process_time() - began < 20  # half a second on an idle machine
    assert places.row.max() > 100


def history_of(folder: Path, candidates: int, objectives: int = 1) -> History:
    return read_history(big_study(folder, candidates, objectives))


def figure_of(section: Section | None) -> figure:
    assert section is not None
    plot = section.parts[-1]
    assert isinstance(plot, figure)
    return plot


def candidates_of(plot: figure) -> dict[str, Any]:
    source = plot.select_one({"name": "family"})
    assert isinstance(source, ColumnDataSource)
    return dict(source.data)


def test_figure_holds_every_candidate_with_its_parents_and_numbers(tmp_path: Path) -> None:
    history = history_of(tmp_path, 60)
    data = candidates_of(figure_of(tree_section(history)))
    records = history.state.records
    assert list(data["id"]) == sorted(records)
    for row, number in enumerate(data["id"]):
        record = records[number]
        assert data["parents"][row] == list(record.candidate.parents)
        assert data["y"][row] == record.candidate.generation
        if record.state == "completed":
            assert data["s0"][row] == pytest.approx(record.metrics["val_accuracy"])
        else:
            assert data["state"][row].startswith("failed: ")
            assert np.isnan(data["s0"][row])


def test_colour_can_follow_another_number_and_less_is_better_where_it_is(tmp_path: Path) -> None:
    section = tree_section(history_of(tmp_path, 60, objectives=2))
    assert section is not None
    page = str(Markup("").join(part for part in section.parts if isinstance(part, Markup)))
    options = page.split("<option")[1:]
    assert [option.split(">")[1].split("<")[0] for option in options][:2] == [
        "val_accuracy",
        "params",
    ]
    assert ['data-flipped="1"' in option for option in options][:2] == [False, True]
    shades = figure_of(section).select_one({"name": "shades"})
    assert isinstance(shades, LinearColorMapper)
    assert shades.low < shades.high


def made_up(tmp_path: Path, operator: str, metric: str, parents: tuple[int, ...]) -> History:
    config = {"name": "made up", "objectives": [{"metric": metric}]}
    created = events.Created(uid="uid", config=config, space={}, metrics=[metric])
    born = [
        Candidate(0, Architecture({"x": 0})),
        Candidate(1, Architecture({"x": 1}), parents, operator, len(parents)),
    ]
    state = StudyState([created, *(events.Proposed(candidate=c) for c in born)])
    state.apply(events.Completed(candidate_id=1, metrics={metric: 1.0}, seconds=1.0))
    return History(Location(tmp_path), state, {}, [], [], created)


def test_there_is_no_tree_where_nobody_descends_from_another(tmp_path: Path) -> None:
    assert tree_section(made_up(tmp_path, "sample", "y", ())) is None


def test_names_are_escaped(tmp_path: Path) -> None:
    evil = "</script><img src=x>"
    section = tree_section(made_up(tmp_path, evil, evil, (0,)))
    assert section is not None
    texts = [part for part in section.parts if isinstance(part, Markup)]
    assert not any("<img" in text for text in texts)
    assert "&lt;img" in "".join(texts)
