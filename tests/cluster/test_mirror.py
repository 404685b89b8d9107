"""Candidates' folders: evaluators see files, and a store has them when it matters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from phylon.cluster.location import CANDIDATES, Location
from phylon.cluster.mirror import Mirror
from phylon.search import Architecture, Candidate, Context, Measurement
from phylon.search.errors import GivenBack
from tests.cluster.store import Gate, Store

FIRST = Candidate(0, Architecture({}))
NEXT = Candidate(7, Architecture({}), continues=0)


class Counter:
    """Trains for so many steps; its checkpoint is how many it did, its weights come at the end."""

    metrics = ("steps",)

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        context.folder.mkdir(parents=True, exist_ok=True)
        checkpoint = context.folder / "last.ckpt"
        before = context.folder.parent / str(candidate.continues) / "last.ckpt"
        start = next((path for path in (checkpoint, before) if path.exists()), None)
        done = int(start.read_text()) if start else 0
        for step in range(done + 1, self.steps + 1):
            checkpoint.write_text(str(step))
            context.report(Measurement(step, {"steps": step - done}, 0.1, checkpoint="last.ckpt"))
        (context.folder / "deep").mkdir()
        (context.folder / "deep" / "weights").write_bytes(b"w" * self.steps)
        (context.folder / "empty").touch()


class Killed(BaseException):
    """The worker is gone."""


@pytest.fixture(params=["folder", "s3://"])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "folder":
        return Location(tmp_path)
    store: Store = request.getfixturevalue("store")
    return store.location()


def run(study: Location, steps: int, candidate: Candidate = FIRST, *, dies_at: int = 0) -> int:
    """Evaluate on a worker of its own; return how many steps it made."""
    made = []

    def report(measurement: Measurement) -> None:
        made.append(measurement.step)
        there = study / CANDIDATES / candidate.id / "last.ckpt"
        assert there.read() == str(measurement.step).encode(), "told before it was kept"
        if measurement.step == dies_at:
            raise Killed

    mirror = Mirror(study)
    context = Context(mirror.folder / CANDIDATES / str(candidate.id), report)
    try:
        mirror.around(Counter(steps)).evaluate(candidate, context)
    except Killed:
        return len(made)
    return len(made)


def test_another_worker_goes_on_from_the_checkpoint(study: Location) -> None:
    assert run(study, 5, dies_at=3) == 3
    assert run(study, 5) == 2
    kept = study / CANDIDATES / 0
    assert sorted(kept.files()) == ["deep/weights", "empty", "last.ckpt"]
    assert (kept / "deep" / "weights").read() == b"w" * 5


def test_a_promoted_candidate_finds_the_one_it_continues(study: Location) -> None:
    run(study, 2)
    assert run(study, 6, NEXT) == 4
    assert (study / CANDIDATES / 0 / "last.ckpt").read() == b"2"
    assert (study / CANDIDATES / 7 / "last.ckpt").read() == b"6"


def test_a_promoted_candidate_does_without_one_that_is_gone(study: Location) -> None:
    assert run(study, 6, NEXT) == 6


def test_what_vanished_here_vanishes_there(study: Location) -> None:
    run(study, 2)
    mirror = Mirror(study)
    folder = mirror.fetch(FIRST)
    (folder / "last.ckpt").unlink()
    (folder / "empty").write_bytes(b"no more")
    mirror.push(FIRST.id)
    assert sorted((study / CANDIDATES / 0).files()) == ["deep/weights", "empty"]
    assert (study / CANDIDATES / 0 / "empty").read() == b"no more"


def test_who_gives_a_candidate_back_leaves_all_it_has(study: Location) -> None:
    class Leaving:
        metrics = ()

        def evaluate(self, _candidate: Candidate, context: Context) -> None:
            context.folder.mkdir(parents=True)
            (context.folder / "last.ckpt").write_text("4")
            raise GivenBack("the node goes away")

    mirror = Mirror(study)
    context = Context(mirror.folder / CANDIDATES / "0", lambda _: None)
    with pytest.raises(GivenBack):
        mirror.around(Leaving()).evaluate(FIRST, context)
    assert run(study, 5) == 1


def test_copies_do_not_stay_behind(study: Location) -> None:
    run(study, 2)
    mirror = Mirror(study)
    folder = mirror.fetch(FIRST)
    assert (folder / "last.ckpt").read_text() == "2"
    mirror.drop(FIRST)
    assert folder.exists() == mirror.folder.exists() == (study.local is not None)
    mirror.fetch(FIRST)
    scratch = mirror.folder
    del mirror
    assert scratch.exists() == (study.local is not None)
    assert (study / CANDIDATES / 0 / "last.ckpt").read() == b"2"


def test_what_did_not_change_is_not_sent_again(store: Store) -> None:
    with Gate(store.port) as gate:
        study = store.location(port=gate.port)
        mirror = Mirror(study)
        mirror.fetch(FIRST).mkdir(parents=True)
        (mirror.fetch(FIRST) / "weights").write_bytes(b"w")
        mirror.push(FIRST.id)
        gate.shut()
        mirror.push(FIRST.id)


def test_a_store_that_is_down_for_a_while_costs_no_checkpoint(store: Store) -> None:
    with Gate(store.port) as gate:
        study = store.location(port=gate.port)
        mirror = Mirror(study)
        (mirror.fetch(FIRST)).mkdir(parents=True)
        (mirror.fetch(FIRST) / "weights").write_bytes(b"w")
        gate.shut_for(1.5)
        mirror.push(FIRST.id)
        assert (study / CANDIDATES / 0 / "weights").read() == b"w"


class Refused:
    """Finds, after its first step, that the store does not take anything any more."""

    metrics = ("y",)

    def __init__(self, store: Store) -> None:
        self.store = store

    def evaluate(self, _candidate: Candidate, context: Context) -> None:
        context.folder.mkdir(parents=True, exist_ok=True)
        self.store.remove_bucket()
        for step, name in enumerate(("last.ckpt", "last.ckpt", "weights.safetensors"), 1):
            (context.folder / name).write_text(str(step))
            context.report(Measurement(step, {"y": 0.0}, 0.1, name, note="mind"))


def test_a_store_that_refuses_costs_what_it_does_not_take_but_not_the_candidate(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Measurement] = []
    mirror = Mirror(store.location())
    context = Context(mirror.folder / CANDIDATES / "0", told.append)
    mirror.around(Refused(store)).evaluate(FIRST, context)
    assert [each.checkpoint for each in told] == [None, None, None]
    assert [each.note for each in told[:2]] == ["mind", "mind"]
    assert told[2].note.startswith("mind; its weights could not be written: ")
    assert caplog.text.count("candidate 0 goes on, but the store refuses its `last.ckpt`") == 1


def test_shared_weights_that_a_store_refuses_are_an_error(store: Store) -> None:
    mirror = Mirror(store.location())
    context = Context(mirror.folder / CANDIDATES / "0", lambda _: None)
    with pytest.raises(OSError, match="bucket"):
        mirror.around(Refused(store)).evaluate(replace(FIRST, phase="supernet"), context)


def test_a_killed_worker_leaves_no_half_file(store: Store, tmp_path: Path) -> None:
    script = """
import sys
from phylon.cluster.location import Location
from phylon.cluster.mirror import Mirror
from phylon.search import Architecture, Candidate

mirror = Mirror(Location(sys.argv[1]))
folder = mirror.fetch(Candidate(0, Architecture({})))
folder.mkdir(parents=True)
for number in range(1000):
    (folder / "weights").write_bytes(bytes([number % 256]) * 30_000_000)
    mirror.push(0)
    print(number, flush=True)
"""
    file = store.location() / CANDIDATES / 0 / "weights"
    for delay in (0.0, 0.1, 0.3):
        worker = subprocess.Popen(
            [sys.executable, "-c", script, str(store.location())],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        assert worker.stdout
        worker.stdout.readline()
        time.sleep(delay)
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        content = file.read()
        assert len(content) == 30_000_000
        assert len(set(content)) == 1
