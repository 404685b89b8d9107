"""A study on several hosts: its project, its driver, and what must be true at its end."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from mlflow import MlflowClient
from pyarrow import fs

from phylon.events import Completed, Event, Failed, Lost, Reported
from phylon.journal import JournalReader
from tests.cluster.hosts import GRACE_S, Host, kill

E = TypeVar("E", bound=Event)
TASK = Path(__file__).with_name("steps.py")
NAME = "steps"


def write_project(folder: Path, gate: Path, *, steps: int, **changes: Any) -> None:
    """Write the user's project: a task, and a study file that names it.

    Args:
        folder: Where.
        gate: A folder that all hosts share, see `Gate`.
        steps: How many half seconds a candidate takes.
        changes: Keys of the study file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(TASK, folder)
    study = {
        "name": NAME,
        "task": {"name": "steps:Steps", "gate": str(gate), "steps": steps, "seconds": 0.5},
        "space": "steps:space",
        "strategy": "random",
        "objectives": [{"metric": "y", "direction": "maximize"}],
        "resources": {"cpus": 0.25, "gpus": 0.25},
        **changes,
    }
    (folder / "study.yaml").write_text(json.dumps(study))


class Gate:
    """Holds back all candidates until hosts have begun with some, however long that takes.

    Args:
        folder: A folder that all hosts share.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open_for(self, driver: Driver, *hosts: Host) -> None:
        """Open it, and leave it open, when all of these hosts are at work."""
        names = {host.name for host in hosts}
        driver.wait_until(
            lambda: names <= {path.name for path in self._folder.iterdir()},
            f"all of {sorted(names)} are at work",
        )
        (self._folder / "open").touch()


class Journal:
    """Follows the journal of the study in a local storage folder."""

    def __init__(self, storage: Path) -> None:
        self._reader = JournalReader(fs.LocalFileSystem(), str(storage / NAME / "journal"))
        self._events: list[Event] = []

    def events(self) -> list[Event]:
        """Return all events so far."""
        self._events.extend(self._reader.read())
        return self._events

    def of(self, kind: type[E]) -> list[E]:
        """Return all events of one kind."""
        return [event for event in self.events() if isinstance(event, kind)]

    def check_whole(self, candidates: int) -> None:
        """Check that all candidates are completed, each of them once."""
        ends = [event for event in self.events() if isinstance(event, Completed | Failed)]
        assert not [event for event in ends if isinstance(event, Failed)]
        assert Counter(e.candidate_id for e in ends) == dict.fromkeys(range(candidates), 1)

    def restart_of(self, lost: Lost) -> float:
        """Return when a lost candidate was at work again: a step before its next new report."""
        return next(
            event.time - (event.measurement.seconds if isinstance(event, Reported) else 0.0)
            for event in self.events()
            if isinstance(event, Reported | Completed)
            and event.candidate_id == lost.candidate_id
            and event.time > lost.time
        )

    def has(self, completed: int) -> bool:
        """Whether so many candidates are completed."""
        return len(self.of(Completed)) >= completed

    def check_resumed(self, lost: Lost) -> None:
        """Check that a lost candidate went on from what it had reported, not from the beginning."""
        mine = [e for e in self.events() if getattr(e, "candidate_id", None) == lost.candidate_id]
        reported = [e for e in mine[: mine.index(lost)] if isinstance(e, Reported)]
        completed = mine[-1]
        assert isinstance(completed, Completed)
        assert completed.metrics["resumed_at"] >= max(
            (e.measurement.step for e in reported), default=0
        )

    def hosts(self) -> set[str]:
        """Return the names of the hosts on which something was completed."""
        return {event.node.partition("/")[0] for event in self.of(Completed)}


class Driver:
    """A program that drives the study, or waits for the one that does, and what it says.

    Args:
        host: Where it runs.
        command: The program and its arguments.
        cwd: Where on the host.
    """

    def __init__(self, host: Host, *command: str, cwd: Path | str) -> None:
        self._log = host.own / "driver.log"
        self._process = host.popen(*command, cwd=cwd, log=self._log.name)

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for something to become true while it runs."""
        deadline = time.monotonic() + GRACE_S
        while not condition():
            assert self._process.poll() is None, f"{what}, but ended with {self.said()}"
            assert time.monotonic() < deadline, f"within {GRACE_S} s: {what}: {self.said()}"
            time.sleep(0.2)

    def end(self, code: int | None = 0) -> int:
        """Wait until it ends, check its exit code unless any will do, and return it."""
        ended_with = self._process.wait(timeout=2 * GRACE_S)
        assert code in (ended_with, None), self.said()
        return ended_with

    def kill(self) -> None:
        kill(self._process)

    def said(self) -> str:
        """Return its exit code, if there is one, and the last that it, or one before, has said."""
        lines = self._log.read_text(errors="replace").splitlines()[-60:]
        return "\n".join([f"exit code {self._process.poll()}", *lines])


def check_mlflow(hub: Host, candidates: int) -> str:
    """Check that there is one parent run with one child of each candidate; return its id."""
    client = MlflowClient(f"sqlite:///{hub.own / 'mlflow.db'}")
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=1000)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert sorted(int(run.data.tags["phylon.id"]) for run in children) == list(range(candidates))
    assert {run.info.status for run in runs} == {"FINISHED"}
    return str(parent.info.run_id)
