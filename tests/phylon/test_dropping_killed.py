"""kill -9 of a study whose candidates inherit: no member is lost, no weights, and none are left."""

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
from safetensors.numpy import load_file

from phylon import Study, events
from phylon.costs import share_of
from phylon.keeping import Keeping
from phylon.ledger import replay
from phylon.parts import new_strategy
from phylon.proposer import Proposer
from phylon.search.evaluation import WEIGHTS_FILE
from phylon.state import StudyState
from tests.phylon.slots import ended
from tests.phylon.test_kill import processes_with, start
from tests.phylon.toy import journal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
POPULATION, CANDIDATES, KILLS = 4, 40, 10
ON_RAY = (3, 7)  # the others run in one process
STUDY = {
    "name": "killed",
    "task": "digits",
    "space": {"name": "macro", "image_size": 8, "stages": [1, 1], "width": [8, 16]},
    "strategy": {"name": "pbt", "population": POPULATION, "quantile": 0.25},
    "objectives": [{"metric": "val_accuracy", "direction": "maximize"}],
    "training": {"epochs": 1, "batch_size": 128},
    "budget": {"candidates": CANDIDATES},
    "resources": {"cpus": (os.cpu_count() or 1) / 2},
    "tracking": {"uri": "none"},
    "storage": "studies",
}
IN_PROCESS = """
from phylon import Study
from phylon.config_file import load_config
study = Study.from_config(load_config("study.yaml"))
study.run(resume=True, in_process=True, show_progress=False)
"""


def begin(mark: str, *, on_ray: bool) -> subprocess.Popen[bytes]:
    if on_ray:
        return start(mark)
    with Path("stderr").open("ab") as stderr:
        return subprocess.Popen(
            [sys.executable, "-c", IN_PROCESS],
            start_new_session=True,
            env={**os.environ, "PHYLON_TEST_MARK": mark},
            stderr=stderr,
        )


def kill_after(study: Study, moment: int, delay: float, mark: str, *, on_ray: bool) -> None:
    """Kill the driver's process group once so many candidates have ended, and a bit later."""
    driver = begin(mark, on_ray=on_ray)
    while driver.poll() is None and study.state().ended < moment:
        time.sleep(0.01)
    time.sleep(delay)
    assert driver.poll() is None, Path("stderr").read_text()
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()


def check_standing(study: Study) -> None:
    """Check that all is there that anybody will begin with, as a driver left it."""
    for number in those_needed(study):
        assert study.state().records[number].has_weights
        assert load_file(study.folder / "candidates" / str(number) / WEIGHTS_FILE)


def those_needed(study: Study) -> set[int]:
    """Return the members, the parents of open candidates, and the best."""
    proposer = Proposer(lambda: new_strategy(study.config, study.parts.space))
    keeping = Keeping(1, lambda: proposer.living)
    state = replay(journal(study), proposer, keeping)
    pending = [record.candidate for record in state.pending.values()]
    parents = {c.inherit_from for c in pending if c.inherit_from is not None}
    best = {state.best.id} if state.best else set[int]()
    needed = proposer.living | parents | best
    assert len(proposer.living) <= POPULATION
    assert needed.isdisjoint(keeping.collect())
    return needed


def check_end(study: Study, state: StudyState) -> None:
    assert Counter(ended(journal(study))) == Counter(range(CANDIDATES))
    assert (state.completed, state.failed) == (CANDIDATES, 0)
    records = state.records.values()
    roots = [r.id for r in records if r.candidate.inherit_from is None]
    assert roots == list(range(POPULATION))
    assert all((share_of(r) or 0.0) > 0 for r in records if r.id not in roots)
    assert not any(record.note for record in records), "some began afresh"
    needed = those_needed(study)
    assert len(needed) in (POPULATION, POPULATION + 1)
    check_standing(study)
    assert {int(path.name) for path in (study.folder / "candidates").iterdir()} == needed
    dropped = [n for e in journal(study) if isinstance(e, events.Dropped) for n in e.candidate_ids]
    assert sorted(dropped) == sorted(state.records.keys() - needed)


def test_kill_9_loses_no_member_and_no_weights_and_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(json.dumps(STUDY))
    study, mark = Study(**STUDY), uuid.uuid4().hex
    rng = random.Random(7)
    for kill, moment in enumerate(sorted(rng.sample(range(CANDIDATES - 4), KILLS))):
        kill_after(study, moment, rng.random() / 2, mark, on_ray=kill in ON_RAY)
        check_standing(study)
    last = begin(mark, on_ray=False)
    assert last.wait(timeout=600) == 0, Path("stderr").read_text()
    check_end(study, study.state())
    while processes_with(mark):  # pytest's own timeout is the limit
        time.sleep(0.2)
