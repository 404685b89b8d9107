"""A study on several hosts: its project, its driver, and what must be true at its end."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

from mlflow import MlflowClient
from pyarrow import fs

from phylon.events import Completed, Event, Failed, Lost, Reported
from phylon.journal import JournalReader
from tests.cluster.hosts import Host, wait_until

E = TypeVar("E", bound=Event)
TASK = Path(__file__).with_name("steps.py")
NAME = "steps"


def write_project(folder: Path, *, steps: int = 8, seconds: float = 0.5, **changes: Any) -> None:
    """Write the user's project: a task, and a study file that names it."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(TASK, folder)
    study = {
        "name": NAME,
        "task": {"name": "steps:Steps", "steps": steps, "seconds": seconds},
        "space": "steps:space",
        "strategy": "random",
        "objectives": [{"metric": "y", "direction": "maximize"}],
        "resources": {"cpus": 0.25, "gpus": 0.25},
        **changes,
    }
    (folder / "study.yaml").write_text(json.dumps(study))


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

    def wait_for(self, completed: int, driver: subprocess.Popen[bytes], log: Path) -> None:
        """Wait until so many candidates are completed by a driver that is alive."""
        words = f"{completed} candidates are not completed by the driver"
        wait_until(
            lambda: len(self.of(Completed)) >= completed or driver.poll() is not None,
            f"{words}, which says: {tail(log)}",
        )
        assert driver.poll() is None, f"the driver ended with {driver.poll()}: {tail(log)}"

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

    def hosts(self) -> set[str]:
        """Return the names of the hosts on which something was completed."""
        return {event.node.partition("/")[0] for event in self.of(Completed)}


def tail(log: Path, lines: int = 60) -> str:
    """Return the end of what a driver has said."""
    text = log.read_text(errors="replace") if log.exists() else "(nothing)"
    return "\n" + "\n".join(text.splitlines()[-lines:])


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
