"""How long a large study takes to open, and how much memory it holds.

    python benchmarks/journal.py

A journal of 10,000 candidates with eight epochs each is replayed into the study's state and its
strategy, three times. Then one of 100,000 candidates is replayed in a process of its own, and the
growth of that process is measured; one epoch each, since a state keeps the last one only.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pyarrow import fs

from phylon import events
from phylon.config import StudyConfig
from phylon.journal import JournalReader, JournalWriter
from phylon.keeping import Keeping
from phylon.ledger import replay
from phylon.proposer import Proposer
from phylon.search import Measurement, Outcome, Strategy, make_strategy
from phylon.state import StudyState
from phylon.trainables import macro_space

LOCAL = fs.LocalFileSystem()
SPACE = macro_space(8, depth=(1, 2), width=(8, 32))  # that of the digits
CONFIG = StudyConfig.build(
    name="large",
    task="digits",
    objectives=[{"metric": "val_accuracy", "direction": "maximize"}],
    budget={"candidates": 10**6},
)


def main() -> None:
    if len(sys.argv) > 1:
        print(grown_megabytes(Path(sys.argv[1])))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "replay"
        count = write(folder, candidates=10_000, epochs=8)
        times = [seconds_to_replay(folder) for _ in range(3)]
        listing = ", ".join(f"{each:.2f}" for each in times)
        print(
            f"replay of 10,000 candidates ({count} events): {statistics.median(times):.2f} s "
            f"(median of {listing}; wanted: at most 2)"
        )
        folder = Path(scratch) / "memory"
        write(folder, candidates=100_000, epochs=1)
        command = [sys.executable, __file__, str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        print(f"memory of 100,000 candidates: {float(done.stdout):.0f} MB (wanted: at most 500)")


def write(folder: Path, candidates: int, epochs: int) -> int:
    """Write the journal of an evolution as it would be; return how many events it has."""
    writer = JournalWriter(LOCAL, str(folder))
    told = history(candidates, epochs)
    while batch := list(islice(told, 10_000)):
        writer.append(*batch)
    writer.close()
    return writer.events


def history(candidates: int, epochs: int) -> Iterator[events.Event]:
    yield events.Created(
        uid="large",
        config=CONFIG.to_json(),
        space=SPACE.to_json(),
        metrics=["val_accuracy"],
    )
    yield events.Opened(host="here", pid=1, versions={}, budget=CONFIG.budget.model_dump())
    strategy = new_strategy()
    for _ in range(candidates):
        (candidate,) = strategy.ask()
        yield events.Proposed(candidate=candidate)
        accuracy = candidate.seed / 2**32
        for step in range(1, epochs + 1):
            metrics = {"val_accuracy": accuracy * step / epochs, "val_loss": 1 / step}
            metrics |= {"train_loss": 1.5 / step, "params": 48_874.0, "macs": 1_234_567.0}
            measurement = Measurement(step, metrics, 0.25, "last.ckpt")
            yield events.Reported(candidate_id=candidate.id, measurement=measurement)
        yield events.Completed(
            candidate_id=candidate.id,
            metrics=metrics,
            seconds=2.0,
            resources={"cpus": 0.5, "gpus": 0.0},
            node="a-host/0123abcd",
        )
        strategy.tell(candidate, Outcome((-accuracy,)))


def new_strategy() -> Strategy:
    return make_strategy("regularized_evolution", SPACE)


def seconds_to_replay(folder: Path) -> float:
    begin = time.perf_counter()
    replay_into_memory(folder)
    return time.perf_counter() - begin


def replay_into_memory(folder: Path) -> tuple[StudyState, Proposer]:
    proposer = Proposer(new_strategy)
    return replay(JournalReader(LOCAL, str(folder)).read(), proposer, Keeping(1)), proposer


def grown_megabytes(folder: Path) -> float:
    """Return by how much this process grows when it opens a study, reading included."""
    before = megabytes("VmRSS")
    held = replay_into_memory(folder)
    assert held[0].completed
    return megabytes("VmHWM") - before


def megabytes(field: str) -> float:
    """Return one of Linux's figures of this process: its memory now, or at most so far."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    words = dict(line.split(":", 1) for line in lines)
    return int(words[field].split()[0]) / 1024


if __name__ == "__main__":
    main()
