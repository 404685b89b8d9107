"""Evaluators whose behaviour the tests of the executors choose."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phylon.search import Candidate, Context, Measurement
from phylon.search.errors import GivenBack


@dataclass
class Diary:
    """Writes a line for every evaluation: candidate, process, device, threads, GPUs seen, times."""

    path: Path
    seconds: float = 0.0
    metrics: tuple[str, ...] = ("y",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        begin = time.time()
        time.sleep(self.seconds)
        context.report(Measurement(1, {"y": candidate.architecture["x"]}, self.seconds))
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "unset")
        words = [
            candidate.id,
            os.getpid(),
            context.device,
            context.threads,
            seen,
            begin,
            time.time(),
        ]
        with self.path.open("a") as file:
            file.write("|".join(map(str, words)) + "\n")

    def lines(self) -> list[list[str]]:
        return [line.split("|") for line in self.path.read_text().splitlines()]


@dataclass
class Deadly:
    """Kills its worker when it meets `victim`, `times` times."""

    path: Path
    victim: int
    times: int
    metrics: tuple[str, ...] = ("y",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        if candidate.id == self.victim:
            with self.path.open("a") as file:
                file.write("x")
            if self.path.stat().st_size <= self.times:
                os.kill(os.getpid(), signal.SIGKILL)
        context.report(Measurement(1, {"y": 1.0}, 0.0))


@dataclass
class Faulty:
    """Raises for every third candidate, after a report."""

    metrics: tuple[str, ...] = ("y",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        context.report(Measurement(1, {"y": 1.0}, 0.0))
        if candidate.id % 3 == 0:
            raise ZeroDivisionError("candidate divided by nothing")


@dataclass
class Patient:
    """Counts steps, and keeps the count when its worker has to leave; does not return before."""

    path: Path
    steps: int
    seconds: float
    metrics: tuple[str, ...] = ("y",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        context.folder.mkdir(parents=True, exist_ok=True)
        checkpoint = context.folder / "steps"
        first = int(checkpoint.read_text()) + 1 if checkpoint.exists() else 1
        with self.path.open("a") as file:
            file.write(f"{candidate.id}|{os.getpid()}|{first}\n")
        for step in range(first, self.steps + 1):
            time.sleep(self.seconds)
            context.report(Measurement(step, {"y": float(step)}, self.seconds))
            if context.leaving():
                checkpoint.write_text(str(step))
                raise GivenBack("asked to leave")


@dataclass
class Heavy:
    """Carries an array and reports whether it came without a copy."""

    data: NDArray[np.float64] = field(default_factory=lambda: np.ones(1_000_000))
    metrics: tuple[str, ...] = ("y",)

    def evaluate(self, _candidate: Candidate, context: Context) -> None:
        context.report(Measurement(1, {"y": float(self.data.flags.writeable)}, 0.0))


@dataclass
class Unloadable:
    """Can be pickled, but not unpickled: that raises, or kills the process."""

    kills: bool = False
    metrics: tuple[str, ...] = ("y",)

    def evaluate(self, _candidate: Candidate, context: Context) -> None:
        context.report(Measurement(1, {"y": 1.0}, 0.0))

    def __reduce__(self) -> tuple[object, ...]:
        return _cannot_load, (self.kills,)


def _cannot_load(kills: bool) -> None:
    if kills:
        os.kill(os.getpid(), signal.SIGKILL)
    raise ImportError("no such thing on the workers")
