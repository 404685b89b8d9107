"""Studies as jobs of a real cluster with a token: refused, stopped, lost, and gone on with."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from phylon import events
from phylon.journal import JournalReader
from tests.cluster.heads import Head, wait_until

CANDIDATES, FREE = 12, 4
pytestmark = pytest.mark.timeout(900)
MODULE = """
import os, time
from pathlib import Path
import phylon
from phylon import Float, Measurement, SearchSpace

space = SearchSpace(x=Float(0.0, 1.0))


class Mine:
    metrics = ("y", "shipped")

    def evaluate(self, candidate, context):
        shipped = float("py_modules_files" in phylon.__file__)
        while candidate.id >= {free} and not Path("{gate}").exists():
            time.sleep(0.1)
        for step in (1, 2):
            y = step * candidate.architecture["x"] + float(os.environ.get("BONUS", 0))
            context.report(Measurement(step, {{"y": y, "shipped": shipped}}, 0.2))


class Broken(Mine):
    def evaluate(self, candidate, context):
        raise ValueError("this one is broken")
"""
STUDY = """
name: toy
task: mine:Mine
space: mine:space
strategy: random
objectives: [{{metric: y, direction: maximize}}]
budget: {{candidates: {candidates}}}
resources: {{cpus: 0.5}}
storage: {storage}
tracking: {{uri: none}}
"""


class Project:
    """A user's folder, and the storage that all nodes see; few candidates pass the closed gate.

    Args:
        root: Where both are made.
    """

    def __init__(self, root: Path) -> None:
        self.folder, self.storage = root / "project", root / "storage"
        self.folder.mkdir()
        self._gate = root / "gate"
        (self.folder / "mine.py").write_text(MODULE.format(free=FREE, gate=self._gate))
        text = STUDY.format(candidates=CANDIDATES, storage=self.storage)
        (self.folder / "study.yaml").write_text(text)

    def open_gate(self) -> None:
        self._gate.touch()

    def events(self, kind: type[events.Event], name: str = "toy") -> list[events.Event]:
        journal = self.storage / name / "journal"
        reader = JournalReader(fs.LocalFileSystem(), str(journal))
        return [event for event in reader.read() if isinstance(event, kind)]

    def results(self, name: str = "toy") -> list[events.Completed]:
        return [e for e in self.events(events.Completed, name) if isinstance(e, events.Completed)]

    def completed(self, name: str = "toy") -> list[int]:
        return sorted(result.candidate_id for result in self.results(name))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    with Head(tmp_path_factory.mktemp("home")).running() as head:
        yield head


def submit(head: Head, project: Project, *words: str) -> str:
    """Submit the project's study and return its id."""
    done = head.phylon("submit", "study.yaml", *words, cwd=project.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"submitted (\S+)", done.stdout + done.stderr)
    assert found
    return found[1]


def wait_for_completed(project: Project, count: int, name: str = "toy") -> None:
    wait_until(lambda: len(project.completed(name)) >= count, f"not {count} candidates completed")


def test_a_study_is_submitted_refused_stopped_and_gone_on_with(
    head: Head, project: Project
) -> None:
    stranger = head.phylon("submit", "study.yaml", cwd=project.folder, RAY_AUTH_MODE="disabled")
    assert stranger.returncode == 2
    assert "export RAY_AUTH_MODE=token" in stranger.stderr
    study = submit(head, project)
    wait_for_completed(project, 2)
    again = head.phylon("submit", "study.yaml", cwd=project.folder)
    assert again.returncode == 2
    assert f"RUNNING as {study}-1 already" in again.stderr
    stopped = head.phylon("stop", study, cwd=project.folder)
    assert stopped.returncode == 0
    assert stopped.stdout.startswith(f"{study}-1 ended: STOPPED")
    (ending,) = project.events(events.Interrupted)
    assert isinstance(ending, events.Interrupted)
    assert ending.reason == "SIGINT"
    assert 2 <= len(project.completed()) <= FREE

    project.open_gate()
    last = head.phylon("submit", "study.yaml", "--wait", cwd=project.folder)
    assert last.returncode == 0, last.stdout + last.stderr
    assert f"search {CANDIDATES}/{CANDIDATES} done" in last.stdout
    assert re.search(r"python 3\S*, .*phylon \S+, ray 2\.60", last.stdout)
    assert f"submitted {study} (as Ray's job {study}-2)" in last.stderr
    assert project.completed() == list(range(CANDIDATES))
    assert all(result.metrics["shipped"] for result in project.results())
    assert len(project.events(events.Created)) == 1
    assert len(project.events(events.Opened)) == 2


@pytest.mark.slow
def test_the_exit_code_is_the_studys(head: Head, project: Project) -> None:
    words = ("study.yaml", "--wait", "--set", "budget.candidates=2")
    broken = head.phylon(
        "submit", *words, "--name", "broken", "--set", "task=mine:Broken", cwd=project.folder
    )
    assert broken.returncode == 3
    assert "no candidate completed" in broken.stdout
    mistaken = head.phylon(
        "submit", *words, "--name", "mistaken", "--set", "task=mine:Nothing", cwd=project.folder
    )
    assert mistaken.returncode == 2
    assert "Nothing" in mistaken.stdout
    listed = head.phylon("status", cwd=project.folder).stdout.splitlines()
    assert sum("FAILED" in line for line in listed) == 2


@pytest.mark.slow
def test_variables_reach_the_workers_and_logs_the_user(head: Head, project: Project) -> None:
    study = submit(
        head, project, "--wait", "--env", "BONUS=100", "--name", "rich", "--set",
        "budget.candidates=2",
    )  # fmt: skip
    shown = head.phylon("logs", study, cwd=project.folder)
    assert "search 2/2 done" in shown.stdout
    assert all(result.metrics["y"] > 100 for result in project.results("rich"))
    told = head.phylon("status", study, cwd=project.folder).stdout
    assert "SUCCEEDED (exit code 0)" in told
    ended = head.phylon("stop", study, cwd=project.folder)
    assert (ended.returncode, ended.stdout) == (0, f"{study}-1 ended before: SUCCEEDED\n")
    unknown = head.phylon("logs", "toy", cwd=project.folder)
    assert unknown.returncode == 2
    assert study in unknown.stderr


@pytest.mark.slow
def test_two_studies_run_beside_each_other(head: Head, project: Project) -> None:
    project.open_gate()
    one, other = (
        submit(head, project, "--name", name, "--set", "resources.cpus=0.25")
        for name in ("one", "other")
    )
    assert one != other
    for study in (one, other):
        assert head.phylon("logs", study, "--follow", cwd=project.folder).returncode == 0
    for name in ("one", "other"):
        assert project.completed(name) == list(range(CANDIDATES))


@pytest.mark.slow
def test_a_job_that_is_killed_is_gone_on_with(head: Head, project: Project) -> None:
    submit(head, project)
    wait_for_completed(project, 3)
    (opened,) = project.events(events.Opened)
    assert isinstance(opened, events.Opened)
    os.kill(opened.pid, signal.SIGKILL)
    wait_until(
        lambda: "FAILED" in head.phylon("status", cwd=project.folder).stdout.splitlines()[-1],
        "the job does not end",
    )
    project.open_gate()
    submit(head, project, "--wait")
    assert project.completed() == list(range(CANDIDATES))
    assert not project.events(events.Interrupted)


@pytest.mark.slow
def test_the_wrong_token_and_none(head: Head, project: Project, tmp_path: Path) -> None:
    wrong = head.phylon("status", cwd=project.folder, RAY_AUTH_TOKEN="0" * 64)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "the one that is here is wrong" in wrong.stderr
    none = head.phylon("status", cwd=project.folder, HOME=str(tmp_path))
    assert (none.returncode, none.stdout) == (2, "")
    assert "there is none here: put it into ~/.ray/auth_token" in none.stderr


@pytest.mark.slow
def test_a_new_cluster_goes_on_with_what_the_old_one_left(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with Head(tmp_path / "home").running() as head:
        study = submit(head, project)
        wait_for_completed(project, 3)
    project.open_gate()
    with Head(tmp_path / "home").running() as head:
        last = head.phylon("submit", "study.yaml", "--wait", cwd=project.folder)
        assert last.returncode == 0, last.stdout + last.stderr
    assert f"submitted {study} (as Ray's job {study}-1)" in last.stderr
    assert project.completed() == list(range(CANDIDATES))
    assert not project.events(events.Interrupted)
