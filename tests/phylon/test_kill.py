"""kill -9 of a whole driver, again and again, and the study is none the worse for it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient
from pyarrow import fs

from phylon.events import Completed
from phylon.journal import JournalReader

PHYLON = Path(sys.executable).parent / "phylon"
CANDIDATES = 60
FINAL = 4
TASK = """
import time
from pathlib import Path
from phylon import Float, Measurement, SearchSpace

space = SearchSpace(x=Float(0.0, 1.0))

class Toy:
    metrics = ("y",)

    def evaluate(self, candidate, context):
        with Path("trained").open("a") as file:
            file.write(f"{candidate.id}\\n")
        for step in (1, 2):
            time.sleep(0.1)
            context.report(Measurement(step, {"y": step * candidate.architecture["x"]}, 0.1))
"""
STUDY = f"""
name: killed
task: toy:Toy
space: toy:space
strategy: {{name: regularized_evolution, population: 8, sample: 3}}
objectives: [{{metric: y, direction: maximize}}]
budget: {{candidates: {CANDIDATES}}}
resources: {{cpus: {(os.cpu_count() or 1) / 4}}}
final: {{top: 2, epochs: 1, seeds: 2}}
storage: studies
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("toy.py").write_text(TASK)
    Path("study.yaml").write_text(STUDY)
    return tmp_path / "studies" / "killed"


def completed(folder: Path) -> set[int]:
    reader = JournalReader(fs.LocalFileSystem(), str(folder / "journal"))
    return {event.candidate_id for event in reader.read() if isinstance(event, Completed)}


def trained() -> Counter[int]:
    file = Path("trained")
    return Counter(map(int, file.read_text().split())) if file.exists() else Counter()


def start(mark: str) -> subprocess.Popen[bytes]:
    with Path("stderr").open("ab") as stderr:
        return subprocess.Popen(
            [PHYLON, "run", "study.yaml", "--resume"],
            start_new_session=True,
            env={**os.environ, "PHYLON_TEST_MARK": mark},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )


def processes_with(mark: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (path / "environ").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def run_and_kill(folder: Path, moment: int, delay: float, mark: str) -> None:
    """Kill the driver's process group once `moment` candidates are completed, and a bit later."""
    driver = start(mark)
    while driver.poll() is None and len(completed(folder)) < moment:
        time.sleep(0.05)
    time.sleep(delay)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()


def ask(*arguments: str) -> str:
    return subprocess.run([PHYLON, *arguments], check=True, capture_output=True, text=True).stdout


def check_whole(folder: Path) -> None:
    shown = json.loads(ask("show", str(folder), "--json"))
    assert shown["state"] == "finished"
    assert shown["candidates"] == {"completed": CANDIDATES + FINAL, "failed": 0, "pending": 0}
    rows = json.loads(ask("lineage", str(folder), "--json"))
    searched = [row["id"] for row in rows if row["phase"] == "search"]
    assert searched == list(range(CANDIDATES))
    assert len(rows) == CANDIDATES + FINAL
    check_mlflow(folder, {row["id"]: row["mlflow_run_id"] for row in rows})


def check_mlflow(folder: Path, run_ids: dict[int, str]) -> None:
    client = MlflowClient(f"sqlite:///{folder.parent / 'mlflow.db'}")
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=1000)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 1
    assert parents[0].info.status == "FINISHED"
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    assert {int(r.data.tags["phylon.id"]): r.info.run_id for r in children} == run_ids
    assert len(children) == CANDIDATES + FINAL
    assert {run.info.status for run in children} == {"FINISHED"}
    for run in children:
        history = client.get_metric_history(run.info.run_id, "y")
        assert [point.step for point in history] == [1, 2]


SLOW = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(
    ("kills", "order"),
    [(5, "free"), pytest.param(20, "free", marks=SLOW), pytest.param(10, "strict", marks=SLOW)],
)
def test_a_study_survives_kill_9_at_random_moments(folder: Path, kills: int, order: str) -> None:
    with Path("study.yaml").open("a") as study:
        study.write(f"order: {order}\n")
    rng = random.Random(kills)
    mark = uuid.uuid4().hex
    for moment in sorted(rng.sample(range(CANDIDATES + FINAL - 1), kills)):
        before, runs_before = completed(folder), trained()
        run_and_kill(folder, moment, rng.random() * 0.4, mark)
        runs_after = trained()
        assert all(runs_after[number] == runs_before[number] for number in before)
    before, runs_before = completed(folder), trained()
    assert start("last").wait(timeout=120) == 0, Path("stderr").read_text()
    assert all(trained()[number] == runs_before[number] for number in before)
    deadline = time.monotonic() + 30
    while processes_with(mark) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not processes_with(mark), "processes of dead drivers are left"
    check_whole(folder)
