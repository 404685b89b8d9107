"""One study of a bench: a strategy asks and is told, on a simulated cluster with its own clock."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

from phylon.bench_problem import Problem
from phylon.errors import SpaceExhausted
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Outcome
from phylon.search.strategy import Strategy

MISSING = -1
_DURATIONS = 0x74696D65  # sets this stream apart from the strategy's own


@final
@dataclass(frozen=True, slots=True)
class Trajectory:
    """What a study evaluated, in the order in which evaluations ended; ``n`` in all.

    Attributes:
        rows: The table's rows, shape ``(n,)``; `MISSING` where it has none.
        candidates: Ids, in the order of asking, shape ``(n,)``.
        ends: When they ended, in simulated seconds, or in mean evaluations if the table tells no
            durations; shape ``(n,)``.
        absent: The architectures that the table lacks, by their place in the order.
        unique: How many networks were evaluated that differ by `SearchSpace.key`.
        seconds: Processor time that the strategy itself took, for all asks and tells.
    """

    rows: NDArray[np.int64]
    candidates: NDArray[np.int64]
    ends: NDArray[np.float64]
    absent: Mapping[int, Architecture]
    unique: int
    seconds: float


def simulate(
    strategy: Strategy, problem: Problem, is_stopped: Callable[[], bool] = lambda: False
) -> Trajectory:
    """Let a strategy search a table until the budget is spent or the space ends.

    A free slot is filled at once; results are told when their evaluation ends, so late and out of
    order if there are several slots. An evaluation that would end after a budget of seconds does
    not count. An architecture that the table lacks is told as failed, and counts; it takes the
    table's median duration.

    Args:
        strategy: At its beginning.
        problem: What to search, and on how many slots.
        is_stopped: Asked before each evaluation; if true, the study ends early.
    """
    cluster = _Cluster(strategy, problem)
    while not is_stopped() and cluster.step():
        pass
    return cluster.trajectory()


@dataclass(order=True, slots=True)
class _Run:
    """An evaluation that is under way; the first to end comes first."""

    end: float
    id: int
    row: int = field(compare=False)
    candidate: Candidate = field(compare=False)


class _Cluster:
    def __init__(self, strategy: Strategy, problem: Problem) -> None:
        self._strategy = strategy
        self._problem = problem
        self._duration = _durations(problem, strategy.seed)
        self._now = 0.0
        self._seconds = 0.0
        self._exhausted = False
        self._running: list[_Run] = []
        self._ended: list[_Run] = []

    def step(self) -> bool:
        """Fill the free slots and end one evaluation; return whether there was one."""
        while len(self._running) < self._problem.workers and self._may_begin():
            self._begin()
        if not self._running:
            return False
        run = heapq.heappop(self._running)
        if self._problem.durations is not None and run.end > self._problem.budget:
            return False
        self._now = run.end
        self._ended.append(run)
        self._tell(run)
        return True

    def trajectory(self) -> Trajectory:
        """Return what ended so far."""
        space = self._problem.space
        absent = {
            place: run.candidate.architecture
            for place, run in enumerate(self._ended)
            if run.row == MISSING
        }
        return Trajectory(
            rows=np.array([run.row for run in self._ended], dtype=np.int64),
            candidates=np.array([run.id for run in self._ended], dtype=np.int64),
            ends=np.array([run.end for run in self._ended], dtype=np.float64),
            absent=absent,
            unique=len({space.key(run.candidate.architecture) for run in self._ended}),
            seconds=self._seconds,
        )

    def _may_begin(self) -> bool:
        if self._exhausted:
            return False
        is_timed = self._problem.durations is not None
        spent = self._now if is_timed else self._strategy.asked
        return spent < self._problem.budget

    def _begin(self) -> None:
        begin = time.process_time()
        try:
            (candidate,) = self._strategy.ask()
        except SpaceExhausted:
            self._exhausted = True
            return
        finally:
            self._seconds += time.process_time() - begin
        found = self._problem.row(candidate.architecture)
        row = MISSING if found is None else found
        end = self._now + self._duration(row)
        heapq.heappush(self._running, _Run(end, candidate.id, row, candidate))

    def _tell(self, run: _Run) -> None:
        losses = None if run.row == MISSING else tuple(self._problem.losses[run.row].tolist())
        begin = time.process_time()
        self._strategy.tell(run.candidate, Outcome(losses))
        self._exhausted = False  # what waited for a result may go on
        self._seconds += time.process_time() - begin


def _durations(problem: Problem, seed: int) -> Callable[[int], float]:
    """Return what tells how long the evaluation takes that begins next, of a row of the table."""
    durations = problem.durations
    if durations is not None:
        median = float(np.median(durations))
        return lambda row: median if row == MISSING else float(durations[row])
    if problem.workers == 1:
        return lambda _: 1.0
    rng = np.random.default_rng([seed, _DURATIONS])
    return lambda _: float(rng.uniform(0.5, 1.5))
