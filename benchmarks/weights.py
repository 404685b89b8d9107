"""What it takes to bring candidates and shared weights to the workers that score them.

    python benchmarks/weights.py [1000]

Scores candidates of the nasbench201 space on two nodes, Ray's own, on this machine, with weights of
20 MB that every candidate asks for. Prints

- how many bytes the driver's process has sent over all of its TCP connections from the first worker
  to the last result, as the kernel counts them (``ss -ti``): candidates, Tune's calls, and whatever
  else Ray says meanwhile. Between it and the object store of its own node there is shared memory;
- how many bytes of objects were made in each node's object store beyond what the evaluator and
  Tune's parts take, in copies of the weights (``cumulative_created_bytes`` of Ray's node managers).
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray
from ray._private.internal_api import node_stats
from ray.cluster_utils import Cluster
from safetensors.numpy import save_file

from phylon import Candidate, Context, Measurement
from phylon.cluster import TuneExecutor
from phylon.cluster.executor import Share, Usage
from phylon.cluster.location import Location
from phylon.cluster.shares import FixedShares
from phylon.search import Strategy, make_strategy
from phylon.trainables.nasbench201 import nasbench201_space

TENSORS, TENSOR = 20, (512, 512)
WEIGHTS_BYTES = TENSORS * 4 * 512 * 512
STORE_BYTES = 80_000_000
SAMPLE_S = 0.25
EACH_S = 0.17  # as to score a network on 5,000 small pictures
_SENT = re.compile(r"bytes_sent:(\d+)")


@dataclass
class Scorer:
    """Looks into the weights, and reports one of them.

    Args:
        seconds: How long it takes to score a candidate.
    """

    seconds: float = 0.0
    metrics: tuple[str, ...] = ("y",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        """Report a number that depends on candidate and weights."""
        assert candidate.inherit_from is not None
        weights = context.weights(candidate.inherit_from).arrays
        time.sleep(self.seconds)
        value = weights[f"layer{candidate.id % TENSORS}.weight"].flat[candidate.id]
        context.report(Measurement(1, {"y": float(value)}, 0.0))


class Scoring:
    """A study that has candidates to score; what it is told, it counts.

    Args:
        candidates: What is scored.
    """

    stopping = False

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._left = deque(candidates)
        self._open = len(candidates)
        self.values: dict[int, float] = {}
        self.nodes: set[str] = set()

    @property
    def finished(self) -> bool:
        """Whether all are scored."""
        return self._open == 0

    def propose(self) -> Candidate | None:
        """Return the next one."""
        return self._left.popleft() if self._left else None

    def observe(self, candidate_id: int, measurement: Measurement) -> None:
        """Take a score."""
        self.values[candidate_id] = measurement.metrics["y"]

    def complete(self, _candidate_id: int, usage: Usage) -> None:
        """Count it."""
        self._open -= 1
        self.nodes.add(usage.node)

    def fail(self, candidate_id: int, reason: str, _usage: Usage) -> None:
        """Expect no failure."""
        raise AssertionError(f"{candidate_id}: {reason}")

    def outgrow(self, candidate_id: int, _usage: Usage) -> None:
        """Expect no shortage."""
        raise AssertionError(candidate_id)

    def lose(
        self, running: int, _waiting: Sequence[int], reason: str, *, innocent: bool = False
    ) -> None:
        """Expect no loss."""
        raise AssertionError(f"{running}: {reason} {innocent}")

    def flush(self) -> None:
        """Nothing is written."""


class SentMeter(threading.Thread):
    """Follows how much this process has sent over each of its TCP connections."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._begin = self._sample()
        self._last = dict(self._begin)
        self._ended = threading.Event()

    def run(self) -> None:
        """Look now and then, since connections end."""
        while not self._ended.wait(SAMPLE_S):
            self._last.update(self._sample())

    def end(self) -> int:
        """Return the bytes that were sent since this began."""
        self._ended.set()
        self.join()
        self._last.update(self._sample())
        return sum(sent - self._begin.get(name, 0) for name, sent in self._last.items())

    @staticmethod
    def _sample() -> dict[str, int]:
        """Return the bytes sent so far, by both ends of the connection."""
        command = ["ss", "-tiHpnO"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        own = [line for line in listed.splitlines() if f"pid={os.getpid()}," in line]
        sent = {" ".join(line.split()[3:5]): _SENT.search(line) for line in own}
        return {name: int(found[1]) for name, found in sent.items() if found}


@contextmanager
def cluster(nodes: int) -> Iterator[None]:
    """Start a cluster of so many nodes in this machine, and connect to it."""
    size = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
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


def created_bytes() -> dict[str, int]:
    """Return how many bytes of objects were ever made in each node's store, by node id."""
    return {
        node["NodeID"]: node_stats(
            node["NodeManagerAddress"], node["NodeManagerPort"], include_memory_info=False
        ).store_stats.cumulative_created_bytes
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    }


def publish(study: Path) -> None:
    """Write weights as those of candidate 0."""
    folder = study / "candidates" / "0"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    save_file(
        {f"layer{i}.weight": rng.normal(size=TENSOR).astype("float32") for i in range(TENSORS)},
        folder / "weights.safetensors",
    )


def candidates(number: int) -> list[Candidate]:
    """Return so many random candidates that are scored with the weights of candidate 0."""
    strategy: Strategy = make_strategy("random", nasbench201_space())
    return [
        Candidate(each.id + 1, each.architecture, epochs=0, inherit_from=0)
        for each in strategy.ask(number)
    ]


def measure(number: int, each: float) -> tuple[int, list[float], float]:
    """Score so many candidates on two nodes, each for so many seconds.

    Returns:
        Bytes that the driver sent, copies of the weights made on each node, and seconds.
    """
    study = Scoring(candidates(number))
    with tempfile.TemporaryDirectory() as scratch, cluster(2):
        publish(Path(scratch))
        shares = FixedShares(Share(cpus=0.5), largest=0)
        before, meter = created_bytes(), SentMeter()
        meter.start()
        begin = time.perf_counter()
        TuneExecutor(Location(scratch), shares).run(study, Scorer(each))
        seconds = time.perf_counter() - begin
        sent, after = meter.end(), created_bytes()
    assert len(study.values) == number
    assert len(study.nodes) == len(after), "one node did nothing; try again"
    return sent, [(after[node] - before[node]) / WEIGHTS_BYTES for node in after], seconds


def main() -> None:
    """Measure and print."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    sent, copies, seconds = measure(number, EACH_S)
    print(
        f"{number:,} candidates scored on 2 nodes in {seconds:.0f} s, weights of "
        f"{WEIGHTS_BYTES / 1e6:.0f} MB\n"
        f"the driver sent {sent:,} bytes, {sent / number:.0f} for each candidate (wanted: at most "
        f"1 MB in all)\n"
        f"copies of the weights made on each node: {', '.join(f'{it:.2f}' for it in copies)} "
        f"(wanted: 1 on each)"
    )


if __name__ == "__main__":
    main()
