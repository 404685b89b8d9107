"""Laws of the projection and of the record of what was sent."""

import itertools
import re
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from phylon import events
from phylon.cluster.location import Location
from phylon.mlflow_plan import MAX_KEY, Plan, Projection, legal_key
from phylon.mlflow_record import STUDY, RunRecord, run_ids
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement


def history() -> list[events.Event]:
    objectives = [{"metric": "loss", "direction": "minimize"}]
    config = {"name": "digits", "objectives": objectives}
    story: list[tuple[type[events.Event], dict[str, Any]]] = [
        (events.Created, {"uid": "u", "config": config, "space": {}, "metrics": ["loss"]}),
        (events.Opened, {"host": "a", "pid": 1, "versions": {"torch": "1"}, "budget": {}}),
    ]
    for number, loss in enumerate([0.5, 0.9, 0.2]):
        candidate = Candidate(number, Architecture({"lr": number}))
        story.append((events.Proposed, {"candidate": candidate}))
        measurement = Measurement(1, {"loss": loss}, 0.1)
        story.append((events.Reported, {"candidate_id": number, "measurement": measurement}))
        if number == 1:
            story.append((events.Interrupted, {"reason": "SIGTERM"}))
            story.append((events.Opened, {"host": "b", "pid": 2, "versions": {}, "budget": {}}))
        done = {"candidate_id": number, "metrics": {"loss": loss}, "seconds": 1.0}
        story.append((events.Completed, done))
    story.append((events.Finished, {"reason": "the budget is spent"}))
    return [kind(time=float(second), **fields) for second, (kind, fields) in enumerate(story)]


def end_of(plans: list[Plan]) -> dict[int, tuple[Any, ...]]:
    """Return what MLflow holds after plans were written one after another."""
    ends: dict[int, tuple[Any, ...]] = {}
    for plan in plans:
        for run, writes in plan.items():
            birth, params, tags, metrics, status = ends.get(run, (None, {}, {}, [], None))
            ends[run] = (
                birth or writes.birth,
                params | writes.params,
                tags | writes.tags,
                metrics + writes.metrics,
                writes.status or status,
            )
    return ends


@given(st.sets(st.integers(1, len(history()) - 1)))
def test_same_history_gives_the_same_runs_in_whatever_stretches_it_is_sent(cuts: set[int]) -> None:
    story = history()
    projection = Projection()
    edges = [0, *sorted(cuts), len(story)]
    stretches = [story[a:b] for a, b in itertools.pairwise(edges)]
    assert end_of([projection.plan(s) for s in stretches]) == end_of([Projection().plan(story)])


def test_best_so_far_goes_in_the_direction_of_the_objective() -> None:
    points = Projection().plan(history())[STUDY].metrics
    assert [(point.step, point.value) for point in points] == [(1, 0.5), (2, 0.5), (3, 0.2)]


@given(st.text(min_size=1, max_size=400))
def test_every_name_becomes_one_that_mlflow_takes(name: str) -> None:
    key = legal_key(name)
    assert 0 < len(key) <= MAX_KEY
    assert re.fullmatch(r"[\w.\- :/]+", key)
    assert "//" not in key
    assert not key.startswith((".", "/"))


def test_record_survives_a_torn_end_and_is_dropped_when_damaged(tmp_path: Path) -> None:
    record = RunRecord.of(Location(tmp_path), "sqlite:///a.db")
    record.note_run(STUDY, "parent")
    record.note_run(0, "first")
    record.note_sent(7)
    record.close()
    assert run_ids(Location(tmp_path)) == {0: "first"}
    (file,) = (tmp_path / "tracking").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:20])
    assert RunRecord.of(Location(tmp_path), "sqlite:///a.db").sent == 7
    file.write_bytes(whole.replace(b"first", b"worst"))
    damaged = RunRecord.of(Location(tmp_path), "sqlite:///a.db")
    assert (damaged.sent, damaged.runs) == (0, {})
    damaged.note_sent(1)
    damaged.close()
    assert RunRecord.of(Location(tmp_path), "sqlite:///a.db").sent == 1


def test_each_place_has_a_record_of_its_own_and_the_latest_counts(tmp_path: Path) -> None:
    for number, uri in enumerate(["sqlite:///a.db", "http://b"]):
        record = RunRecord.of(Location(tmp_path), uri)
        record.note_run(number, uri)
        record.close()
    assert run_ids(Location(tmp_path)) == {1: "http://b"}
    assert run_ids(Location(tmp_path / "never tracked")) == {}
