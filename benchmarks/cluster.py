"""How a real cluster of several nodes is kept busy, and what that costs the driver in the long run.

    python benchmarks/cluster.py                 both of the following
    python benchmarks/cluster.py cheap [10000]   evaluations that return at once, on two nodes
    python benchmarks/cluster.py busy [60]       evaluations of one second, on three nodes

The nodes are Ray's own, several on this machine, each with one CPU and so two slots. The studies
are run as users run them, by `Study.run`, with regularized evolution and without MLflow; times are
those of the driver, from the journal, in which a candidate is proposed as it is handed out.

`cheap` prints completions a second, in the first tenth, in the last tenth, and the processor time
and memory of the driver's process for each candidate. All is counted from the first completion of
the last slot to get a worker.

`busy` prints the utilisation of slots: of all slots' time in a window, the part in which there was
an evaluation, which lasts as long as its worker says, up to its completion. The window begins when
the last slot to get a worker begins its first evaluation, and ends when the last candidate is
handed out, for then slots fall idle for want of candidates.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray
from ray.cluster_utils import Cluster

from phylon import Candidate, Context, Float, Measurement, SearchSpace, Study
from phylon.record import Record

SPACE = SearchSpace(x=Float(0.0, 1.0))
SLOTS_OF_NODE, CPUS = 2, 0.5
STORE_BYTES = 80_000_000
SAMPLE_S = 0.5


@dataclass
class Sleeper:
    """Sleeps, then reports once, and which process it is."""

    seconds: float = 0.0
    metrics: tuple[str, ...] = ("x", "process")

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        """Report the only decision, and who measured it."""
        if self.seconds:
            time.sleep(self.seconds)
        metrics = {"x": candidate.architecture["x"], "process": float(os.getpid())}
        context.report(Measurement(1, metrics, self.seconds))


class Meter(threading.Thread):
    """Notes the time, the processor time and the memory of this process every half second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.notes: list[tuple[float, float, float]] = []
        self._ended = threading.Event()

    def run(self) -> None:
        """Take notes until told to end."""
        while not self._ended.wait(SAMPLE_S):
            pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
            self.notes.append((time.time(), time.process_time(), pages * os.sysconf("SC_PAGESIZE")))

    def end(self) -> np.ndarray:
        """Return the notes, a column for each quantity."""
        self._ended.set()
        self.join()
        return np.array(self.notes)


@contextmanager
def cluster(nodes: int) -> Iterator[None]:
    """Start a cluster of so many nodes in this machine, and connect to it."""
    size = {"num_cpus": int(SLOTS_OF_NODE * CPUS), "object_store_memory": STORE_BYTES}
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as scratch:
        head = {**size, "include_dashboard": False, "temp_dir": scratch}
        own = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(nodes - 1):
                own.add_node(**size)
            ray.init(own.address, logging_level=logging.ERROR, log_to_driver=False)
            yield
        finally:
            ray.shutdown()
            own.shutdown()


def run(scratch: str, candidates: int, seconds: float) -> list[Record]:
    """Run a study; return its candidates in the order in which they were completed."""
    study = Study(
        name="cluster",
        task=Sleeper(seconds),
        space=SPACE,
        strategy="regularized_evolution",
        objectives=[{"metric": "x", "direction": "maximize"}],
        budget={"candidates": candidates},
        resources={"cpus": CPUS},
        tracking={"uri": "none"},
        storage=scratch,
    )
    state = study.run(show_progress=False)
    assert state.completed == candidates
    return sorted(state.records.values(), key=lambda record: record.ended or 0.0)


def cheap(candidates: int) -> None:
    """Measure throughput, and what a candidate costs the driver."""
    meter = Meter()
    with cluster(2), tempfile.TemporaryDirectory() as scratch:
        meter.start()
        records = run(scratch, candidates, 0.0)
        clock, processor, memory = meter.end().T
    begin = max(first.ended for first in first_of_each_worker(records) if first.ended)
    ends = np.array([record.ended for record in records if record.ended and record.ended >= begin])
    tenth = len(ends) // 10
    first, last = ends[: tenth + 1], ends[-tenth - 1 :]
    rates = [tenth / np.ptp(each) for each in (first, last)]
    spent = [1000 * np.ptp(np.interp(each, clock, processor)) / tenth for each in (first, last)]
    grown = np.ptp(np.interp(ends[[0, -1]], clock, memory)) / len(ends)
    tenths = ", ".join(f"{tenth / np.ptp(ends[i * tenth :][: tenth + 1]):.0f}" for i in range(10))
    print(
        f"{candidates:,} cheap candidates on 2 nodes: {len(ends) / np.ptp(ends):.1f} completions a "
        f"second; {rates[0]:.1f} in the first tenth, {rates[1]:.1f} in the last, "
        f"{rates[1] / rates[0]:.0%} (wanted: at least 90%); by tenths: {tenths}\n"
        f"driver: {spent[0]:.1f} ms of processor time for each in the first tenth, "
        f"{spent[1]:.1f} in the last; memory {grown:,.0f} bytes for each (wanted: at most 5,000)"
    )


def busy(candidates: int) -> None:
    """Measure the utilisation of slots."""
    slots = 3 * SLOTS_OF_NODE
    with cluster(3), tempfile.TemporaryDirectory() as scratch:
        records = run(scratch, candidates, 1.0)
    spans = [(record.ended - record.seconds, record.ended) for record in records if record.ended]
    firsts = first_of_each_worker(records)
    begin = max(first.ended - first.seconds for first in firsts if first.ended)
    end = max(record.started for record in records)
    used = sum(max(min(b, end) - max(a, begin), 0.0) for a, b in spans)
    inside = sum(begin < b <= end for _, b in spans)
    nodes = {record.node for record in records}
    print(
        f"{candidates} candidates of 1 s on {len(nodes)} nodes with {slots} slots ({len(firsts)} "
        f"workers): slots busy for {used / slots / (end - begin):.1%} of {end - begin:.1f} s, in "
        f"which {inside} candidates ended (wanted: at least 90%)"
    )


def first_of_each_worker(records: list[Record]) -> list[Record]:
    """Return what each worker completed first."""
    firsts = {record.metrics["process"]: record for record in reversed(records)}
    return list(firsts.values())


def main() -> None:
    which = sys.argv[1] if len(sys.argv) > 1 else "both"
    if which in ("busy", "both"):
        busy(int(sys.argv[2]) if len(sys.argv) > 2 else 60)
    if which in ("cheap", "both"):
        cheap(int(sys.argv[2]) if len(sys.argv) > 2 else 10_000)


if __name__ == "__main__":
    main()
