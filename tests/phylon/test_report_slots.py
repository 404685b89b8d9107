"""The report's section on slots: every candidate in a lane of its node, on the drivers' clock."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from bokeh.models import HBar
from bokeh.plotting import figure
from hypothesis import given
from hypothesis import strategies as st

from phylon import events
from phylon.history import History, read_history
from phylon.report_candidates import operator_colours
from phylon.report_lanes import OVERLAP, Clock, lanes
from phylon.report_slots import slots_section
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate
from phylon.state import StudyState
from tests.phylon.big_study import NODES, SLOTS, big_study

stays = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 50)), min_size=1, max_size=40)


def bars(plot: figure) -> dict[str, list[dict[str, float]]]:
    """Return what is drawn, by kind."""
    drawn = {}
    for renderer in plot.renderers:
        if isinstance(renderer.glyph, HBar):
            columns = renderer.data_source.data
            rows = zip(*columns.values(), strict=True)
            drawn[renderer.name] = [dict(zip(columns, row, strict=True)) for row in rows]
    return drawn


def figure_of(history: History) -> figure:
    section = slots_section(history)
    assert section is not None
    return next(part for part in section.parts if isinstance(part, figure))


@given(stays)
def test_stays_in_a_lane_do_not_overlap_and_lanes_are_as_few_as_can_be(
    drawn: list[tuple[int, int]],
) -> None:
    begins, ends = [float(b) for b, _ in drawn], [float(b + n) for b, n in drawn]
    taken = lanes(begins, ends)
    for lane in set(taken):
        own = sorted((b, e) for b, e, each in zip(begins, ends, taken, strict=True) if each == lane)
        for (_, before), (begin, end) in pairwise(own):
            assert before <= begin + OVERLAP * (end - begin) + 1e-9
    at_once = [sum(b <= moment < e for b, e in zip(begins, ends, strict=True)) for moment in begins]
    assert max(taken) + 1 <= max(at_once)


def test_every_candidate_is_drawn_once_in_a_slot_of_its_node(tmp_path: Path) -> None:
    history = read_history(big_study(tmp_path, 60))
    plot = figure_of(history)
    drawn = bars(plot)
    records = history.state.records
    every = [bar for each in drawn.values() for bar in each]
    assert sorted(bar["id"] for bar in every) == sorted(records)
    assert {bar["id"] for bar in drawn["failed"]} == {
        r.id for r in records.values() if r.state == "failed"
    }
    slots = SLOTS // len(NODES)
    for bar in every:
        node = sorted(NODES).index(records[int(bar["id"])].node)
        assert int(bar["lane"]) // (slots + 1) == node
        assert bar["took"] == pytest.approx(records[int(bar["id"])].seconds, rel=1e-5)
    section = slots_section(history)
    assert section is not None
    text = " ".join(part for part in section.parts if isinstance(part, str))
    busy = sum(record.seconds for record in records.values())
    assert f"{busy / history.state.seconds:.3g} candidates were at work" in text
    assert f"of {SLOTS} slots: " in text


BEGAN = 1_790_000_000.0


def story(*, pause: float) -> History:
    """Return a study whose driver was killed after 100 s; another one resumed it after a pause."""
    resumed_at = BEGAN + 100.0 + pause
    config = {"objectives": [{"metric": "y"}], "name": "s"}
    created = events.Created(time=BEGAN, uid="u", config=config, space={}, metrics=["y"])
    opened = events.Opened(time=BEGAN, host="h", pid=1, versions={}, budget={})
    again = replace(opened, time=resumed_at)
    told: list[events.Event] = [created, opened]
    for number, (begin, end) in enumerate([(0.0, 60.0), (60.0, 100.0), (0.0, 40.0)]):
        first = BEGAN if number < 2 else resumed_at
        told += [again] if number == 2 else []
        made = Candidate(number, Architecture({"x": number}))
        told.append(events.Proposed(time=first + begin, candidate=made))
        told.append(
            events.Completed(
                time=first + end, candidate_id=number, metrics={"y": 1.0}, seconds=end - begin,
                node="n",
            )
        )  # fmt: skip
    return History(None, StudyState(told), {}, [opened, again], [], created)  # type: ignore[arg-type]


def test_time_without_a_driver_is_left_out_and_marked() -> None:
    history = story(pause=4900.0)
    clock = Clock.of(history)
    assert clock.total == 140.0 == history.state.seconds
    assert [tuple(pause) for pause in clock.pauses] == [(BEGAN + 100.0, BEGAN + 5000.0)]
    read = clock.read(BEGAN + np.array([0.0, 60.0, 100.0, 3000.0, 5000.0, 5040.0, 9999.0]))
    assert read.tolist() == [0.0, 60.0, 100.0, 100.0, 100.0, 140.0, 140.0]
    section = slots_section(history)
    assert section is not None
    text = " ".join(part for part in section.parts if isinstance(part, str))
    assert "On average 1 candidate was at work at once. That is 100 % of one slot" in text
    assert "No driver ran once, 1:21:40 in all" in text
    (bar,) = [bar for bar in bars(figure_of(history))["sample"] if bar["id"] == 2]
    assert math.isclose(bar["right"] - bar["left"], 40 / 60, rel_tol=1e-5)  # in minutes


def test_an_operator_has_the_same_colour_as_in_the_other_figures(tmp_path: Path) -> None:
    history = read_history(big_study(tmp_path, 60))
    for record in history.state.records.values():
        if record.candidate.operator == "mutate":
            record.state = "failed"
    plot = figure_of(history)
    (bar,) = (each for each in plot.renderers if each.name == "crossover")
    assert bar.glyph.fill_color == operator_colours(history.state)["crossover"]


def test_what_never_ran_on_a_node_is_not_drawn(tmp_path: Path) -> None:
    history = read_history(big_study(tmp_path, 8))
    for record in history.state.records.values():
        record.node, record.seconds = "cache", 0.0
    assert slots_section(history) is None
