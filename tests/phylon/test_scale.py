"""Many slots and many candidates: what one driver promises, however much comes at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from pyarrow import fs

from benchmarks.scale import SPACE, driving, simulate
from phylon import events
from phylon.journal import JournalReader
from phylon.keeping import Keeping
from phylon.ledger import replay
from phylon.proposer import Proposer
from phylon.search import make_strategy

SLOTS, CANDIDATES = 200, 3_000


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Counts the calls of fsync."""
    calls = list[int]()
    fsync = os.fsync

    def counted(file: int) -> None:
        calls.append(file)
        fsync(file)

    monkeypatch.setattr(os, "fsync", counted)
    return lambda: len(calls)


def test_results_of_many_slots_are_written_in_groups_and_each_once(
    tmp_path: Path, synced: Callable[[], int]
) -> None:
    with driving(tmp_path, "regularized_evolution", CANDIDATES) as driver:
        turns = list(simulate(driver, SLOTS, 0.005, Random(0)))
        assert driver.finished
    assert sum(turn.results for turn in turns) == CANDIDATES
    history = list(JournalReader(fs.LocalFileSystem(), str(tmp_path / "journal")).read())
    completed = [e.candidate_id for e in history if isinstance(e, events.Completed)]
    assert sorted(completed) == list(range(CANDIDATES))
    dropped = [n for e in history if isinstance(e, events.Dropped) for n in e.candidate_ids]
    assert len(set(dropped)) == len(dropped) == CANDIDATES - 1  # all but the best
    count = sum(not isinstance(event, events.Dropped) for event in history)
    assert count == 2 + 3 * CANDIDATES  # proposed, reported, completed
    assert synced() < len(history) / 10
    proposer = Proposer(lambda: make_strategy("regularized_evolution", SPACE))
    state = replay(history, proposer, Keeping(1))
    assert state.records == driver.state.records
    assert (state.completed, state.pending) == (CANDIDATES, {})
    assert proposer.asked == CANDIDATES
