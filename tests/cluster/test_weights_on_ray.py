"""Weights and candidates on their way to the workers of a cluster."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from benchmarks.weights import measure
from phylon.cluster import TuneExecutor
from phylon.cluster.executor import Share, Usage
from phylon.cluster.location import Location
from phylon.cluster.shares import FixedShares
from phylon.search import Candidate, Measurement
from phylon.trainables import LightningEvaluator, Training
from tests.trainables.heirs import HeirTask, heir

pytestmark = pytest.mark.slow
NODE = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}


def test_the_driver_sends_little_and_each_node_gets_the_weights_once() -> None:
    sent, copies, _ = measure(1000, each=0.0)
    assert sent <= 1_000_000
    assert [round(each, 1) for each in copies] == [1.0, 1.0]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two nodes with room for one worker each, beside the driver's without any."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as scratch:
        head = {**NODE, "num_cpus": 0, "temp_dir": scratch}
        own = Cluster(initialize_head=True, head_node_args=head)
        own.add_node(**NODE)
        own.add_node(**NODE)
        ray.init(own.address, logging_level=logging.ERROR, log_to_driver=False)
        yield own
        ray.shutdown()
        own.shutdown()


class Line:
    """A study of candidates one after another; something happens before each.

    Args:
        candidates: What is evaluated, and what happens before.
    """

    stopping = False

    def __init__(self, candidates: Sequence[tuple[Candidate, Callable[[], object]]]) -> None:
        self._left = deque(candidates)
        self.candidates = {each.id: each for each, _ in candidates}
        self._runs = False
        self.told: dict[int, list[Measurement]] = {}
        self.nodes: list[str] = []

    @property
    def finished(self) -> bool:
        return not self._left and not self._runs

    def propose(self) -> Candidate | None:
        if self._runs or not self._left:
            return None
        self._runs = True
        candidate, happening = self._left.popleft()
        happening()
        self.told[candidate.id] = []
        return candidate

    def observe(self, candidate_id: int, measurement: Measurement) -> None:
        self.told[candidate_id].append(measurement)

    def complete(self, _candidate_id: int, usage: Usage) -> None:
        self._runs = False
        self.nodes.append(usage.node.rpartition("/")[2])

    def fail(self, candidate_id: int, reason: str, _usage: Usage) -> None:
        raise AssertionError(f"{candidate_id}: {reason}")

    def outgrow(self, candidate_id: int, _usage: Usage) -> None:
        raise AssertionError(candidate_id)

    def lose(
        self, running: int, _waiting: Sequence[int], _reason: str, *, innocent: bool = False
    ) -> None:
        assert innocent
        self._runs = False
        self._left.appendleft((self.candidates[running], lambda: None))

    def flush(self) -> None:
        """Nothing is written."""


def test_a_child_gets_its_parents_weights_from_memory_and_when_its_node_died_from_storage(
    cluster: Cluster, tmp_path: Path
) -> None:
    weights, aside = tmp_path / "candidates" / "0", tmp_path / "aside"

    def the_node_of_the_parent_dies() -> None:
        aside.rename(weights)
        (doomed,) = [it for it in cluster.worker_nodes if it.node_id.startswith(line.nodes[0])]
        cluster.remove_node(doomed, allow_graceful=False)

    def nothing() -> None:
        """All is as it was."""

    line = Line(
        [
            (heir(0), nothing),
            (heir(1, 0), lambda: weights.rename(aside)),
            (heir(2, 0), the_node_of_the_parent_dies),
            (heir(3, 0), lambda: shutil.rmtree(weights)),
        ]
    )
    evaluator: Any = LightningEvaluator(HeirTask(), Training(1), inherits=True)
    TuneExecutor(Location(tmp_path), FixedShares(Share(1.0), largest=0)).run(line, evaluator)
    shares = {number: each[-1].metrics.get("inherited_share") for number, each in line.told.items()}
    assert shares == {0: None, 1: 1.0, 2: 1.0, 3: 1.0}
    assert line.told[1][0].metrics == line.told[2][0].metrics == line.told[3][0].metrics
    assert line.nodes[0] == line.nodes[1] != line.nodes[2] == line.nodes[3]
    assert not any(each.note for told in line.told.values() for each in told)
