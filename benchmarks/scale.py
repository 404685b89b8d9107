"""What one driver can keep up with: 1,000 slots, and 100,000 candidates that take no computing.

    python benchmarks/scale.py                       all strategies, each in its own process
    python benchmarks/scale.py STRATEGY CANDIDATES   one of them

Driver, ledger, journal (local, with fsync), state, strategy, progress and the removal of folders
are those of a real run. Only the workers are simulated, by a heap of the times at which they end:
evaluations take 0.25 s in the mean, exponentially distributed, so 1,000 slots could do 4,000 a
second. A result is one measurement, pickled as it is when it comes from a worker.

The driver works in turns: it takes all results that are there, proposes for every free slot,
flushes once, and hands out. Meanwhile the other slots go on, and what they end waits for the next
turn. Simulated time goes on by what the turn took on this machine; where nothing has ended by then,
to the next end.

Printed are completions for each second of the driver's time, in all, in the first tenth, and in the
last, and the same for each second of processor time, since others may use the machine too; of the
driver's time the parts that went into proposals and into flushing; results in a turn; and by how
much journal and memory grew with each candidate, memory after the first tenth. What it takes to
fill the slots at the start is left out, and so is what is still at work at the end.
"""

from __future__ import annotations

import heapq
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from random import Random

from pyarrow import fs
from rich.console import Console

from phylon import events
from phylon.cluster.executor import Driven, Share, Usage
from phylon.cluster.location import Location
from phylon.config import StudyConfig
from phylon.driver import Driver
from phylon.folders import CandidateFolders
from phylon.journal import JournalWriter
from phylon.keeping import Keeping
from phylon.ledger import Ledger
from phylon.order import FreeOrder
from phylon.progress import Progress
from phylon.proposer import Proposer
from phylon.search import (
    Block,
    Candidate,
    Choice,
    Float,
    Integer,
    Measurement,
    Repeat,
    SearchSpace,
    make_strategy,
)
from phylon.state import StudyState

SPACE = SearchSpace(
    lr=Float(1e-4, 1e-1, log=True),
    dropout=Float(0.0, 0.5),
    width=Integer(8, 64, step=8),
    stages=Repeat(Block(depth=Integer(1, 4), act=Choice("relu", "gelu")), 1, 4),
    block=Choice(plain=Block(), residual=Block(kernel=Choice(3, 5, 7))),
)
SHARE = Share(cpus=0.5)
SLOTS, SECONDS = 1_000, 0.25
RUNS = (
    ("regularized_evolution", 100_000),
    ("random", 100_000),
    ("nsga2", 100_000),
    ("surrogate", 3_000),
)


def main() -> None:
    if len(sys.argv) > 1:
        measure(sys.argv[1], int(sys.argv[2]))
        return
    for name, candidates in RUNS:
        subprocess.run([sys.executable, __file__, name, str(candidates)], check=True)


@dataclass(frozen=True)
class Turn:
    """One turn of the driver.

    Attributes:
        results: How many results it took.
        taking: Seconds it took to take them.
        asking: Seconds it took to propose.
        flushing: Seconds it took to flush.
        processor: Seconds of processor time that all this took, other threads included.
    """

    results: int
    taking: float
    asking: float
    flushing: float
    processor: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.taking + self.asking + self.flushing


def simulate(driver: Driven, slots: int, seconds: float, random: Random) -> Iterator[Turn]:
    """Run a driver on slots whose evaluations take so many seconds in the mean, none of ours."""
    clock = 0.0
    at_work: list[tuple[float, int, bytes]] = []  # when, who, and what it will say
    while True:
        clock = max(clock, at_work[0][0]) if at_work else clock
        ended = []
        while at_work and at_work[0][0] <= clock:
            ended.append(heapq.heappop(at_work))
        began, processor = time.perf_counter(), time.process_time()
        for _, number, said in ended:
            driver.observe(number, pickle.loads(said))  # noqa: S301
            driver.complete(number, Usage(seconds, SHARE, f"host-{number % 50}/0123abcd"))
        taken = time.perf_counter()
        proposed = list(proposals(driver, slots - len(at_work)))
        asked = time.perf_counter()
        driver.flush()
        flushed, processor = time.perf_counter(), time.process_time() - processor
        clock += flushed - began
        yield Turn(len(ended), taken - began, asked - taken, flushed - asked, processor)
        for each in proposed:
            end = clock + random.expovariate(1 / seconds)
            heapq.heappush(at_work, (end, each.id, pickle.dumps(measurement(each))))
        if not at_work:
            return


def proposals(driver: Driven, most: int) -> Iterator[Candidate]:
    while most and (candidate := driver.propose()):
        most -= 1
        yield candidate


def measurement(candidate: Candidate) -> Measurement:
    net = candidate.architecture
    regret = abs(net["dropout"] - 0.2) + abs(net["width"] - 32) / 32 + abs(len(net["stages"]) - 2)
    metrics = {"regret": regret, "lr": net["lr"], "params": 48_874.0, "macs": 1_234_567.0}
    return Measurement(1, metrics, 0.25, "last.ckpt")


@contextmanager
def driving(folder: Path, name: str, candidates: int) -> Iterator[Driver]:
    """A new study in a folder, with all that listens to one in a real run but for MLflow."""
    config = StudyConfig.build(
        name="scale",
        task="scale:task",
        objectives=[{"metric": "regret", "direction": "minimize"}],
        budget={"candidates": candidates},
    )
    proposer, state = Proposer(lambda: make_strategy(name, SPACE)), StudyState()
    keeping = Keeping(1)
    writer = JournalWriter(fs.LocalFileSystem(), str(folder / "journal"))
    console = Console(file=StringIO())
    with (
        CandidateFolders(Location(folder), keeping) as folders,
        Progress(state, {"search": candidates, "final": 0}, SLOTS, console=console) as progress,
    ):
        ledger = Ledger(writer, state, proposer, keeping, [folders, progress])
        ledger.take(
            events.Created(
                uid="scale", config=config.to_json(), space=SPACE.to_json(), metrics=["regret"]
            ),
            events.Opened(host="here", pid=1, versions={}, budget=config.budget.model_dump()),
        )
        yield Driver(config, proposer, ledger, order=FreeOrder())
    writer.close()


def measure(name: str, candidates: int) -> None:
    """Run one strategy, and print what came of it."""
    turns, done = list[Turn](), 0
    memory = [(0, 0)]
    with tempfile.TemporaryDirectory() as scratch:
        with driving(Path(scratch), name, candidates + SLOTS) as driver:
            for turn in simulate(driver, SLOTS, SECONDS, Random(0)):
                turns.append(turn)
                done += turn.results
                if done >= len(memory) * candidates // 10:
                    memory.append((done, resident()))
                if done >= candidates:
                    break
        written = sum(file.stat().st_size for file in Path(scratch, "journal").iterdir())
    del turns[0]
    (begin, before), (end, after) = memory[1], memory[-1]
    seconds, processor = sum(t.seconds for t in turns), sum(t.processor for t in turns)
    parts = [sum(t.asking for t in turns) / seconds, sum(t.flushing for t in turns) / seconds]
    rates = [rate(each, candidates // 10) for each in (turns, turns[::-1])]
    print(
        f"{name}, {done:,} candidates: {done / seconds:,.0f} completions a second "
        f"({rates[0][0]:,.0f} in the first tenth, {rates[1][0]:,.0f} in the last), "
        f"{done / processor:,.0f} a second of processor time ({rates[0][1]:,.0f}, "
        f"{rates[1][1]:,.0f}), {parts[0]:.0%} of it asking, "
        f"{parts[1]:.0%} flushing; {done / len(turns):.1f} results in a turn; each candidate "
        f"{written / (done + SLOTS):,.0f} bytes of journal, "
        f"{(after - before) / (end - begin):,.0f} of memory",
        flush=True,
    )


def rate(turns: Sequence[Turn], results: int) -> tuple[float, float]:
    """Return the completions a second, also of processor time, of so many results' first turns."""
    done, seconds, processor = 0, 0.0, 0.0
    for turn in turns:
        if done >= results:
            break
        done += turn.results
        seconds += turn.seconds
        processor += turn.processor
    return done / seconds, done / processor


def resident() -> int:
    """Return how many bytes of memory this process holds (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * 4096


if __name__ == "__main__":
    main()
