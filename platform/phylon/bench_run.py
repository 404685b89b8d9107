"""Runs the studies of a bench on all cores, one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from queue import SimpleQueue
from typing import TypeAlias

from phylon.bench_clock import Trajectory, simulate
from phylon.bench_problem import Problem
from phylon.bench_strategy import Contestant
from phylon.signals import calling_on_signal

Study: TypeAlias = tuple[Contestant, int]
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_context = multiprocessing.get_context("spawn")
_here: tuple[Problem, Event] | None = None  # in a worker, what its studies share


def run_studies(
    problem: Problem,
    studies: Sequence[Study],
    *,
    processes: int | None = None,
    on_end: Callable[[], None] = lambda: None,
) -> list[Trajectory]:
    """Run studies, each a strategy and a seed, and return what each of them did.

    That does not depend on the number of processes, but for the seconds that strategies take.

    Args:
        problem: What to search.
        studies: What to run.
        processes: How many run at a time; None for one per core. A single one is this process.
        on_end: Called after each study.
    """
    processes = min(processes or _cores(), len(studies))
    if processes > 1:
        return _run_in_pool(problem, studies, processes, on_end)
    trajectories: list[Trajectory] = []
    for study in studies:
        trajectories.append(_run(problem, study, lambda: False))
        on_end()
    return trajectories


def _run_in_pool(
    problem: Problem, studies: Sequence[Study], processes: int, on_end: Callable[[], None]
) -> list[Trajectory]:
    stop = _context.Event()
    pool = ProcessPoolExecutor(processes, _context, _begin_worker, (problem, stop))
    ended: SimpleQueue[Future[Trajectory] | None] = SimpleQueue()
    with calling_on_signal(lambda _: ended.put(None)):
        try:
            with _alone_and_undisturbed():
                futures = [pool.submit(_run_here, study) for study in studies]
            for future in futures:
                future.add_done_callback(ended.put)
            for _ in futures:
                if (done := ended.get()) is None:
                    raise KeyboardInterrupt  # here and nowhere else: the pool's locks are free
                done.result()
                on_end()
            return [future.result() for future in futures]
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


@contextmanager
def _alone_and_undisturbed() -> Iterator[None]:
    """Have the processes that are started meanwhile use one thread each and not hear of Ctrl-C.

    A terminal sends that to all of them, but it is for this one to end them.
    """
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _begin_worker(problem: Problem, stop: Event) -> None:
    global _here  # noqa: PLW0603 - a process of a pool can keep things nowhere else
    _here = (problem, stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _run_here(study: Study) -> Trajectory:
    if _here is None:
        raise RuntimeError("the worker was not begun")
    problem, stop = _here
    return _run(problem, study, stop.is_set)


def _run(problem: Problem, study: Study, is_stopped: Callable[[], bool]) -> Trajectory:
    contestant, seed = study
    try:
        return simulate(contestant.make(problem, seed), problem, is_stopped)
    except Exception as error:
        error.add_note(f"in the study of `{contestant.name}` with seed {seed}")
        raise


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
