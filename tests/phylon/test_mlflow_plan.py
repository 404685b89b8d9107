"""Laws of the projection and of the record of what was sent."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylon import events
from phylon.cluster.location import Location
from phylon.mlflow_names import MAX_KEY, KeyNames
from phylon.mlflow_plan import Projection
from phylon.mlflow_record import STUDY, RunRecord, run_ids
from phylon.mlflow_writes import Plan
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate
from tests.phylon.mlflow_story import Events, plan_of, values_of


def history() -> Events:
    """Return a story in which all is told that can change afterwards."""
    story = Events("loss", "size")
    for number in range(12):
        story.propose(number, *([number // 2] if number else []))
        if number == 4:
            story.fail(4)
        elif number == 5:
            story.tell(events.Interrupted, reason="SIGTERM")
            story.open(slots=2)
        else:
            story.complete(number, loss=1 / (1 + number), size=number * 3 % 7, **{"a (b)": 1.0})
    story.complete(5, loss=0.01, size=2.0, **{"a [b]": 1.0})
    story.tell(events.Tested, candidate_ids=[5], metrics={"loss": [0.1]})
    story.finish()
    return story


def end_of(plans: list[Plan]) -> dict[int, tuple[Any, ...]]:
    """Return what MLflow holds after plans were written one after another."""
    ends: dict[int, tuple[Any, ...]] = {}
    for plan in plans:
        for run, writes in plan.items():
            birth, params, tags, metrics, note, status = ends.get(
                run, (None, {}, {}, [], None, None)
            )
            ends[run] = (
                birth or writes.birth,
                params | writes.params,
                tags | writes.tags,
                metrics + writes.metrics,
                writes.note or note,
                writes.status or status,
            )
    return ends


WHOLE = end_of([plan_of(history())])


@given(st.sets(st.integers(1, len(history()) - 1)))
def test_same_history_gives_the_same_runs_in_whatever_stretches_it_is_sent(cuts: set[int]) -> None:
    story = history()
    projection = Projection()
    edges = [0, *sorted(cuts), len(story)]
    stretches = [story[a:b] for a, b in itertools.pairwise(edges)]
    assert end_of([projection.plan(s) for s in stretches]) == WHOLE


@given(st.integers(1, len(history()) - 1))
def test_what_was_sent_by_another_process_is_taken_into_account(sent: int) -> None:
    story = history()
    whole, late = Projection(), Projection()
    whole.plan(story[:sent])
    late.skip(story[:sent])
    assert late.plan(story[sent:]) == whole.plan(story[sent:])


def test_best_so_far_goes_in_the_direction_of_the_objective() -> None:
    story = Events()
    for number, loss in enumerate([0.5, 0.9, 0.2]):
        story.run(number, loss=loss)
    assert values_of(plan_of(story), STUDY, "best.loss") == [(1, 0.5), (2, 0.5), (3, 0.2)]


def test_candidate_that_ended_tells_what_it_cost() -> None:
    story = Events()
    story.propose(0)
    story.complete(0, seconds=8.0, loss=1.0)
    run = plan_of(story)[0]
    costs = {point.key: point.value for point in run.metrics if point.step == 0}
    assert costs == {"seconds": 8.0, "cpu_seconds": 4.0, "gpu_seconds": 2.0}
    assert (run.tags["phylon.node"], run.tags["phylon.state"]) == ("n1", "completed")


def test_score_that_was_known_before_is_a_metric_of_its_candidate_too() -> None:
    story = Events()
    story.run(0, loss=0.5)
    story.propose(1, epochs=0)
    story.tell(events.Completed, candidate_id=1, metrics={"loss": 0.5}, seconds=0.0, node="cache")
    assert values_of(plan_of(story), 1, "loss") == [(1, 0.5)]


def test_password_of_the_server_is_not_sent_there() -> None:
    story = Events(tracking={"uri": "postgresql://me:secret@db/runs", "register": None})
    plan = plan_of(story)
    assert plan[STUDY].params["tracking.uri"] == "postgresql://db/runs"
    assert "secret" not in str(plan)


@pytest.mark.parametrize(
    ("given_weights", "share"),
    [({}, "0"), ({"inherit_from": 0, "epochs": 0}, "1"), ({"continues": 0}, "1")],
)
def test_share_of_inherited_weights_is_a_tag(given_weights: dict[str, int], share: str) -> None:
    story = Events()
    story.run(0, loss=1.0)
    story.tell(
        events.Proposed, candidate=Candidate(1, Architecture({"lr": 1}), (0,), **given_weights)
    )
    birth = plan_of(story)[1].birth
    assert birth is not None
    assert birth.tags["phylon.inherited_share"] == share


def test_driver_tells_its_machine_and_the_code_that_it_ran() -> None:
    story = Events()
    about = {
        "revision": {"commit": "abc", "modified": True},
        "machine": {"cpu": "8086", "cores": 2, "memory": 2**34, "gpus": ["A100", "A100"]},
    }
    story.tell(events.Opened, host="b", pid=2, versions={"torch": "2"}, budget={}, **about)
    tags = plan_of(story)[STUDY].tags
    assert (tags["phylon.revision"], tags["mlflow.source.git.commit"]) == ("abc (modified)", "abc")
    assert (tags["phylon.machine.cpu"], tags["phylon.machine.gpus"]) == ("8086", "A100, A100")
    assert (tags["phylon.machine.memory"], tags["phylon.version.torch"]) == ("16 GiB", "2")


def test_journal_of_an_earlier_version_can_be_sent() -> None:
    fields = {"event": "Opened", "time": 3.0, "host": "a", "pid": 1, "versions": {}, "budget": {}}
    story = Events()
    story.append(events.Event.from_json(fields))
    assert plan_of(story)[STUDY].tags["phylon.driver"] == "a:1"


def test_names_that_mlflow_refuses_are_kept_where_a_person_finds_them() -> None:
    story = Events()
    story.propose(0, decisions={"d" * 300: 1})
    values = {"f1 (macro)": 0.1, "f1 [macro]": 0.2, "f1 _macro_": 0.3, "cpu_seconds": 9.0}
    story.complete(0, loss=1.0, **values)
    plan = plan_of(story)
    found = {point.key: point.value for point in plan[0].metrics if point.step == 1}
    assert sorted(found.values()) == sorted([1.0, *values.values()])
    assert [p.value for p in plan[0].metrics if p.key == "cpu_seconds"] == [0.5]
    kept = plan[STUDY].tags
    names = {key: kept.get(f"phylon.metric.{key}", key) for key in found}
    assert {names[key]: value for key, value in found.items()} == {"loss": 1.0, **values}
    (param,) = plan[0].params
    assert kept[f"phylon.param.{param}"] == "d" * 300


@given(st.lists(st.text(min_size=1, max_size=400), unique=True, max_size=20))
def test_every_name_becomes_one_of_its_own_that_mlflow_takes(names: list[str]) -> None:
    keys = KeyNames(reserved=["seconds"])
    given_keys = [keys[name] for name in names]
    assert len(set(given_keys)) == len(names)
    assert [keys.changed.get(key, key) for key in given_keys] == names
    for key in given_keys:
        assert 0 < len(key) <= MAX_KEY
        assert re.fullmatch(r"[\w.\- :/]+", key)
        assert "//" not in key
        assert not key.startswith((".", "/"))
        assert key != "seconds"


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
