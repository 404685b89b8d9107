"""What MLflow holds of a study that goes well, fails, pauses, or is deleted there."""

import json
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from phylon import events
from phylon.cluster.location import Location
from phylon.mlflow_client import default_uri
from phylon.mlflow_extras import Extras
from phylon.mlflow_runs import RunsLostError
from phylon.mlflow_sender import Sender
from phylon.tracker import run_ids
from tests.phylon import tracking
from tests.phylon.tracking import track, tracker_of, without_report

Story = Any  # see conftest.py


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    without_report(monkeypatch.setattr)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


@pytest.fixture
def uri(storage: Path) -> str:
    return default_uri(storage)


@pytest.fixture
def client(uri: str) -> MlflowClient:
    return MlflowClient(uri)


@pytest.fixture
def story(
    storage: Path, request: pytest.FixtureRequest, new_story: Callable[[Path], Story]
) -> Story:
    return new_story(storage / request.node.name[5:60])


def runs_of(story: Story, client: MlflowClient) -> tuple[Run, dict[int, Run]]:
    return tracking.runs_of(story.study.name, client)


def history(run: Run, key: str, client: MlflowClient) -> list[tuple[int, float]]:
    points = client.get_metric_history(run.info.run_id, key)
    return sorted((point.step, point.value) for point in points)


def statuses(story: Story, client: MlflowClient) -> list[str]:
    study, children = runs_of(story, client)
    return [study.info.status, *(run.info.status for _, run in sorted(children.items()))]


def assert_complete(story: Story, count: int, client: MlflowClient) -> None:
    study, children = runs_of(story, client)
    assert sorted(children) == list(range(count))
    assert run_ids(Location(story.study)) == {
        number: run.info.run_id for number, run in children.items()
    }
    for number, run in children.items():
        assert run.info.status == "FINISHED"
        assert run.data.tags["phylon.state"] == "completed"
        assert run.data.params["lr"] == str(number)
        expected = [(step, number + step) for step in range(1, story.epochs + 1)]
        assert history(run, "accuracy", client) == expected
        assert len(history(run, "miss", client)) in (0, story.epochs)
    assert study.info.status == "FINISHED"
    steps = [step for step, _ in history(study, "best.accuracy", client)]
    assert steps == list(range(1, count + 1))


def test_study_and_candidates_are_runs_with_all_that_is_known_of_them(
    story: Story, uri: str, client: MlflowClient
) -> None:
    story.create(training={"epochs": 4})
    story.run(1, 0)
    story.propose(2)
    story.tell(events.Failed, candidate_id=2, reason="loss is nan", node="n2")
    story.tell(events.Tested, candidate_ids=[1], metrics={"accuracy": [0.5, 0.7]})
    story.finish()
    track(story.study, uri)
    study, children = runs_of(story, client)
    child = children[1]
    assert child.info.run_name == "candidate 1"
    assert child.data.params == {"lr": "1", "stages.count": "1", "stages.0.width": "8"}
    tags = child.data.tags
    assert json.loads(tags["phylon.parents"]) == [0]
    assert (tags["phylon.operator"], tags["phylon.generation"]) == ("mutate", "1")
    assert (tags["phylon.phase"], tags["phylon.node"]) == ("search", "n1")
    assert child.info.end_time > child.info.start_time >= 1_700_000_000_000
    assert child.data.metrics["seconds"] == 2.0
    assert children[2].info.status == "FAILED"
    assert children[2].data.tags["phylon.reason"] == "loss is nan"
    assert study.data.params["training.epochs"] == "4"
    assert study.data.tags["phylon.version.torch"] == "2.13.0"
    assert history(study, "best.accuracy", client) == [(1, 5.0), (2, 5.0)]
    assert study.data.metrics["test.accuracy"] == pytest.approx(0.6)
    assert study.data.metrics["test.accuracy.std"] == pytest.approx(0.1414, abs=1e-4)
    assert study.inputs.dataset_inputs[0].dataset.name == "digits"
    files = {file.path for file in client.list_artifacts(study.info.run_id)}
    assert files >= {"study.yaml", "space.json"}


def test_names_and_values_that_mlflow_does_not_take_are_made_fit(
    story: Story, uri: str, client: MlflowClient
) -> None:
    story.create(note="x" * 9000)
    story.propose(0, **{f"decision_{i}": i for i in range(250)}, **{"d" * 300: "v" * 7000})
    story.train(0, **{"f1 (macro)": 0.5, "a//b": 1.0, "..": 2.0})
    story.complete(0)
    story.propose(1)
    reason = "caf\udce9.png is missing\0" + "r" * 10_000  # what a file's name may well hold
    story.tell(events.Failed, candidate_id=1, reason=reason)
    track(story.study, uri)
    study, children = runs_of(story, client)
    run = children[0]
    assert run.info.status == "FINISHED"
    assert len(run.data.params) == 254
    assert run.data.metrics["f1 _macro_"] == 0.5
    assert len(study.data.params["note"]) == 6000
    assert children[1].info.status == "FAILED"
    assert children[1].data.tags["phylon.reason"].startswith("caf?.png is missing?rrr")


def test_interrupted_study_leaves_no_run_running_and_goes_on_with_the_same(
    story: Story, uri: str, client: MlflowClient
) -> None:
    story.create()
    story.run(0)
    story.propose(1)
    track(story.study, uri)
    assert statuses(story, client) == ["RUNNING", "FINISHED", "RUNNING"]
    before = run_ids(Location(story.study))
    story.tell(events.Interrupted, reason="SIGINT")
    track(story.study, uri)
    assert statuses(story, client) == ["KILLED", "FINISHED", "KILLED"]
    story.open()
    track(story.study, uri)
    assert statuses(story, client) == ["RUNNING", "FINISHED", "RUNNING"]
    story.train(1)
    story.complete(1)
    story.finish()
    track(story.study, uri)
    assert_complete(story, 2, client)
    assert run_ids(Location(story.study)) == before


def test_tracker_follows_a_study_while_it_runs(
    story: Story, uri: str, client: MlflowClient
) -> None:
    tracker = tracker_of(story.study, uri)
    story.create()
    story.run(0)
    tracker.wake()
    deadline = time.monotonic() + 60
    while not (run_ids(Location(story.study)) and tracker.status == "in step"):
        assert time.monotonic() < deadline, tracker.status
        time.sleep(0.05)
    story.run(1)
    story.finish()
    assert tracker.close(60) == 0
    assert_complete(story, 2, client)


def test_search_that_is_never_idle_has_its_documents_all_the_same(
    story: Story, uri: str, client: MlflowClient
) -> None:
    story.create()
    story.propose(0)
    tracker = tracker_of(story.study, uri)
    deadline = time.monotonic() + 60
    files: set[str] = set()
    while "space.json" not in files:
        assert time.monotonic() < deadline, "there is none"
        for _ in range(20):
            story.tell(events.Lost, candidate_id=0, reason="no luck", innocent=True)
            time.sleep(0.02)
        if experiment := client.get_experiment_by_name(story.study.name):
            for run in client.search_runs([experiment.experiment_id], "tags.phylon.kind = 'study'"):
                files = {file.path for file in client.list_artifacts(run.info.run_id)}
    story.finish()
    assert tracker.close(60) == 0


def test_lost_record_costs_nothing_but_a_search(
    story: Story, uri: str, client: MlflowClient
) -> None:
    story.create()
    story.run(0, 1, 2)
    track(story.study, uri)
    shutil.rmtree(story.study / "tracking")
    story.finish()
    track(story.study, uri)
    assert_complete(story, 3, client)


def test_run_that_was_made_but_not_recorded_is_taken_up(
    story: Story, uri: str, client: MlflowClient
) -> None:
    story.create()
    story.propose(0)
    track(story.study, uri)
    (record,) = (story.study / "tracking").glob("*.jsonl")
    lines = record.read_bytes().splitlines(keepends=True)
    last_run = max(i for i, line in enumerate(lines) if b'"run"' in line)
    record.write_bytes(b"".join(lines[:last_run]) + b"torn")
    story.train(0)
    story.complete(0)
    story.finish()
    track(story.study, uri)
    assert_complete(story, 1, client)


def test_run_that_was_made_twice_is_deleted_at_the_end(
    story: Story, uri: str, client: MlflowClient
) -> None:
    """A server may make a run after the client gave up waiting for it and asked again."""
    story.create()
    story.run(0)
    track(story.study, uri)
    run = runs_of(story, client)[1][0]
    tags = run.data.tags | {"phylon.state": "pending"}
    client.create_run(run.info.experiment_id, tags=tags)
    story.finish()
    track(story.study, uri, models=lambda: iter(()))
    assert_complete(story, 1, client)


def test_study_that_was_deleted_in_mlflow_is_sent_again(
    story: Story, uri: str, client: MlflowClient
) -> None:
    story.create()
    story.run(0, 1)
    track(story.study, uri)
    client.delete_run(runs_of(story, client)[0].info.run_id)
    story.finish()
    track(story.study, uri)
    assert_complete(story, 2, client)


def test_study_that_is_found_deleted_when_a_document_is_sent_is_sent_again(
    story: Story, uri: str, client: MlflowClient
) -> None:
    story.create()
    story.run(0, 1)
    story.finish()
    place = Location(story.study)
    sender = Sender(place, uri, Extras(place, None, None))
    with closing(sender), sender.opened():
        while sender.send_stretch():
            pass
        client.delete_run(runs_of(story, client)[0].info.run_id)
        sender.disconnect()  # as after an outage
        with pytest.raises(RunsLostError):
            sender.send_extra("space.json")
        while sender.send_stretch():
            pass
        assert sender.send_extra("space.json")
    assert_complete(story, 2, client)
