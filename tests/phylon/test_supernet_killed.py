"""Shared weights by a team of workers, end to end, and kill -9 of the driver in each phase."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from phylon.cluster.location import Location
from phylon.events import Completed, Event, Reported
from phylon.journal import JournalReader
from phylon.state import StudyState
from phylon.study import read_state
from tests.phylon.test_kill import PHYLON, processes_with, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
EPOCHS, BUDGET, TOP = 12, 60, 6
Done = set[tuple[str, str]]
PHASES, ALL = ("supernet", "search", "final"), [1, BUDGET, TOP]
TASK = """
import hashlib
import json
import os
from pathlib import Path

from phylon.trainables import Supernet
from phylon.trainables.classification import ImageClassifier
from phylon.trainables.image_task import ImageTask, digits


def note(*words):
    with Path(__file__).with_name("notes").open("a") as file:
        file.write(json.dumps(words) + "\\n")


class Noting(ImageClassifier):
    def __init__(self, network, architecture):
        super().__init__(network, 0.01, 0.001)
        self.architecture = str(architecture)
        self.is_shared = isinstance(network, Supernet)

    def on_train_epoch_start(self):
        super().on_train_epoch_start()
        if self.is_shared:
            self.network.taken.clear()
            note("begins", self.current_epoch, os.getpid())
        elif self.current_epoch == 0:
            note("trains", self.architecture)

    def on_train_epoch_end(self):
        super().on_train_epoch_end()
        if self.is_shared:
            digest = hashlib.sha256(json.dumps(self.network.taken).encode())
            for parameter in self.network.parameters():
                digest.update(parameter.detach().numpy().tobytes())
            note("ends", self.current_epoch, os.getpid(), digest.hexdigest())

    def on_validation_start(self):
        if self.is_shared:
            note("scores", self.architecture)


class Noted(ImageTask):
    def __init__(self):
        super().__init__(digits().dataset)

    def supernet(self, space):
        supernet = super().supernet(space)
        select, supernet.taken = supernet.select, []

        def noting(architecture):
            supernet.taken.append(str(architecture))
            select(architecture)

        supernet.select = noting
        return supernet

    def lightning_module(self, network, architecture):
        return Noting(network, architecture)
"""
SHARE = {"cpus": (os.cpu_count() or 1) / 4}
STUDY: dict[str, Any] = {
    "name": "killed",
    "task": "noted:Noted",
    "space": {"name": "nasbench201", "cells": 1, "channels": 4},
    "evaluator": "supernet",
    "supernet": {
        "workers": 2, "epochs": EPOCHS, "probes": 0, "resources": SHARE, "scoring": SHARE
    },
    "resources": SHARE,
    "strategy": "random",
    "objectives": [{"metric": "val_accuracy", "direction": "maximize"}],
    "budget": {"candidates": BUDGET},
    "training": {"epochs": 1, "batch_size": 64},
    "final": {"top": TOP, "epochs": 2, "seeds": 1},
    "tracking": {"uri": "none"},
    "storage": "studies",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("noted.py").write_text(TASK)
    Path("study.yaml").write_text(json.dumps(STUDY))
    return tmp_path / "studies" / "killed"


def state_of(folder: Path) -> StudyState:
    return read_state(Location(folder))


def history(folder: Path) -> list[Event]:
    return list(JournalReader(fs.LocalFileSystem(), str(folder / "journal")).read())


def notes() -> list[list[Any]]:
    file = Path("notes")
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def done(state: StudyState) -> Done:
    """Return what was completed, as the notes call it."""
    found: Done = set()
    for record in state.records.values():
        if record.state == "completed" and record.candidate.phase != "supernet":
            what = "scores" if record.candidate.is_scored else "trains"
            found.add((what, str(record.candidate.architecture)))
    return found


def kill_when(folder: Path, is_time: Callable[[StudyState], bool], mark: str) -> Done:
    """Run and kill the driver in its time; return what was completed."""
    driver = start(mark)
    while driver.poll() is None and not is_time(state_of(folder)):
        time.sleep(0.05)
    assert driver.poll() is None, Path("stderr").read_text()
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    return done(state_of(folder))


def completed(state: StudyState, phase: str) -> int:
    every = state.records.values()
    return sum(r.state == "completed" and r.candidate.phase == phase for r in every)


def check_supernet(folder: Path) -> None:
    """Check that all workers of all attempts went the same way, and no epoch twice, but for one."""
    events = history(folder)
    reported = [e for e in events if isinstance(e, Reported) and e.candidate_id == 0]
    assert [event.measurement.step for event in reported] == list(range(1, EPOCHS + 1))
    begun = Counter(line[1] for line in notes() if line[0] == "begins")
    assert set(begun) == set(range(EPOCHS))
    assert begun.total() <= 2 * (EPOCHS + 1)
    ends = [line for line in notes() if line[0] == "ends"]
    for epoch in range(EPOCHS):
        mine = [line for line in ends if line[1] == epoch]
        assert len({line[2] for line in mine}) >= 2, "two workers"
        assert len({line[3] for line in mine}) == 1, f"workers differ after epoch {epoch}"


def test_kill_9_in_any_phase_costs_at_most_an_epoch(folder: Path) -> None:
    moments: list[Callable[[StudyState], bool]] = [
        lambda state: state.supernet is not None and state.supernet.step >= 2,
        lambda state: completed(state, "search") >= 5,
        lambda state: completed(state, "final") >= 1,
    ]
    mark = uuid.uuid4().hex
    earlier: list[tuple[int, Done]] = []
    for phase, is_time in enumerate(moments):
        before = kill_when(folder, is_time, mark)
        earlier.append((len(notes()), before))
        ended = [completed(state_of(folder), kind) for kind in PHASES]
        assert ended[phase] < ALL[phase], "it was killed too late"
    assert start(mark).wait(timeout=300) == 0, Path("stderr").read_text()
    for noted, before in earlier:
        assert not {(line[0], line[1]) for line in notes()[noted:]} & before
    state = state_of(folder)
    assert [completed(state, kind) for kind in PHASES] == ALL
    check_supernet(folder)
    ends = Counter(e.candidate_id for e in history(folder) if isinstance(e, Completed))
    assert set(ends.values()) == {1}
    while processes_with(mark):  # pytest's own timeout is the limit
        time.sleep(0.2)


def test_more_workers_than_the_cluster_has_are_refused_before_anything_starts(folder: Path) -> None:
    supernet = {**STUDY["supernet"], "workers": 64}
    Path("study.yaml").write_text(json.dumps({**STUDY, "supernet": supernet}))
    command = [PHYLON, "run", "study.yaml"]
    run = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 2
    words = " ".join(run.stderr.split())
    assert "supernet.workers: 64 workers are asked for" in words
    assert "room for 4; ask for 4 at most" in words
    assert not folder.exists()
