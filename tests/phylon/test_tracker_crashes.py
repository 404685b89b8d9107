"""The tracker is killed between any two of its calls; MLflow ends up the same."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from phylon.cluster.location import Location
from phylon.mlflow_client import default_uri
from phylon.tracker import run_ids

Story = Any  # see conftest.py

# Imports MLflow once and runs each tracker in a child of its own, which it kills: the first two
# while they make the database, the others after some more was sent.
TRACK_AND_KILL = """
import os, random, signal, sys, time
from pathlib import Path
import mlflow.store.tracking.sqlalchemy_store
from sqlalchemy.orm import configure_mappers
from phylon import mlflow_backlog
from phylon.cluster.location import Location
from tests.phylon.tracking import tracker_of, without_report

without_report()
uri, kills, *studies = sys.argv[1:]
mlflow_backlog.STRETCH = 40
configure_mappers()

def track(study):
    child = os.fork()
    if child == 0:
        os._exit(int(tracker_of(Location(study), uri).close(100) != 0))
    return child

def written():
    files = [file for study in studies for file in Path(study).glob("tracking/*.jsonl")]
    return sum(file.stat().st_size for file in files)

random.seed(0)
for number in range(int(kills)):
    enough = written() + random.randint(1, 1000)
    children = [track(study) for study in studies]
    if number < 2:
        time.sleep(random.uniform(0.2, 1.0))
    deadline = time.monotonic() + 30
    while number >= 2 and written() < enough and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(random.uniform(0.0, 0.03))
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
children = [track(study) for study in studies]
sys.exit(max(os.waitpid(child, 0)[1] for child in children))
"""


# Kills the tracker of the n-th study right after its n-th call that changes something in MLflow.
DIE_AFTER_A_CALL = """
import itertools, os, signal, sys
from pathlib import Path
import mlflow.pytorch, numpy, torch
from mlflow import MlflowClient
from phylon.cluster.location import Location
from phylon.models import Trained
from tests.phylon.tracking import tracker_of, without_report

without_report()
uri, *studies = sys.argv[1:]
CALLS = (
    "create_experiment create_run log_batch set_terminated log_dict log_inputs create_logged_model "
    "log_model_artifacts finalize_logged_model log_outputs create_registered_model "
    "create_model_version set_registered_model_alias set_model_version_tag log_text log_artifact"
).split()
torch.set_num_threads(1)

def models():
    torch.manual_seed(0)
    yield Trained(0, "best", torch.nn.Linear(3, 2), numpy.ones((2, 3), numpy.float32))

def dying(call, count, last):
    def wrapped(*args, **kwargs):
        result = call(*args, **kwargs)
        if next(count) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return wrapped

def track(study, last):
    child = os.fork()
    if child == 0:
        count = itertools.count(1)
        for name in CALLS:
            setattr(MlflowClient, name, dying(getattr(MlflowClient, name), count, last))
        tracker = tracker_of(Location(study), uri, models, "team")
        os._exit(int(tracker.close(100) != 0))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

warm_up = tracker_of(Location(studies[0]), uri.replace("mlflow.db", "warm-up.db"), models)
assert warm_up.close(100) == 0
ends = []
for number, study in enumerate(studies, 1):
    ends.append(track(study, number))
    assert track(study, 0) == 0
assert ends[0] == ends[10] == -signal.SIGKILL and ends[-1] == 0, ends
"""


def assert_complete(story: Story, count: int, client: MlflowClient) -> str:
    """Check that MLflow holds each candidate once, with everything; return the study's run."""
    experiment = client.get_experiment_by_name(story.study.name)
    assert experiment
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if run.data.tags["phylon.kind"] == "study"]
    assert len(runs) == count + 1
    assert {run.info.status for run in runs} == {"FINISHED"}
    ids = run_ids(Location(story.study))
    assert sorted(ids) == list(range(count))
    for number, run_id in ids.items():
        run = client.get_run(run_id)
        assert run.data.tags["phylon.id"] == str(number)
        assert run.data.tags["phylon.state"] == "completed"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.params["lr"] == str(number)
        points = client.get_metric_history(run_id, "accuracy")
        expected = [(step, number + step) for step in range(1, story.epochs + 1)]
        assert sorted((point.step, point.value) for point in points) == expected
    best = client.get_metric_history(parent.info.run_id, "best.accuracy")
    assert sorted(point.step for point in best) == list(range(1, count + 1))
    run_id: str = parent.info.run_id
    return run_id


def run_script(script: str, *arguments: str) -> None:
    command = [sys.executable, "-c", script, *arguments]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=250)
    assert result.returncode == 0, result.stderr
    assert "cannot be used" not in result.stderr


def test_killed_trackers_leave_nothing_out_and_nothing_twice(
    tmp_path: Path, new_story: Callable[[Path], Story]
) -> None:
    """Two studies share a database that does not exist yet; their trackers are killed together."""
    stories = [new_story(tmp_path / name) for name in ("one", "two")]
    for story in stories:
        story.create()
        story.run(*range(60))
        story.finish()
    uri = default_uri(tmp_path)
    run_script(TRACK_AND_KILL, uri, "7", *(str(story.study) for story in stories))
    for story in stories:
        assert_complete(story, 60, MlflowClient(uri))


def test_tracker_may_die_after_any_call_to_mlflow(
    tmp_path: Path, new_story: Callable[[Path], Story]
) -> None:
    stories = [new_story(tmp_path / f"dies-after-call-{number}") for number in range(1, 25)]
    for story in stories:
        story.create()
        story.run(0)
        story.finish()
    uri = default_uri(tmp_path)
    run_script(DIE_AFTER_A_CALL, uri, *(str(story.study) for story in stories))
    client = MlflowClient(uri)
    for story in stories:
        run = client.get_run(assert_complete(story, 1, client))
        (model,) = client.search_logged_models([run.info.experiment_id])
        assert model.status == "READY"
        assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
