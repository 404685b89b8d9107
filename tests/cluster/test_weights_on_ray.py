"""Weights and candidates on their way to the workers of a cluster."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray.cluster_utils import Cluster
from safetensors.numpy import save_file

from benchmarks.weights import measure
from phylon.cluster import TuneExecutor
from phylon.cluster.executor import Share
from phylon.cluster.location import CANDIDATES, Location
from phylon.cluster.mailbox import start_mailbox
from phylon.cluster.shares import FixedShares
from phylon.cluster.weights import borrower, publisher
from phylon.trainables import LightningEvaluator, Training
from tests.cluster.store import Store
from tests.cluster.studies import Line, nothing
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


def test_a_child_gets_its_parents_weights_from_memory_and_when_its_node_died_from_storage(
    cluster: Cluster, tmp_path: Path
) -> None:
    weights, aside = tmp_path / "candidates" / "0", tmp_path / "aside"

    def the_node_of_the_parent_dies() -> None:
        aside.rename(weights)
        kill_the_first_node_of(line, cluster)

    line = Line(
        [
            (heir(0), nothing),
            (heir(1, 0), lambda: weights.rename(aside)),
            (heir(2, 0), the_node_of_the_parent_dies),
            (heir(3, 0), lambda: shutil.rmtree(weights)),
        ]
    )
    run_on_ray(line, Location(tmp_path))
    assert line.shares == {0: None, 1: 1.0, 2: 1.0, 3: 1.0}
    assert line.told[1][0].metrics == line.told[2][0].metrics == line.told[3][0].metrics
    assert line.nodes[0] == line.nodes[1] != line.nodes[2] == line.nodes[3]
    assert not any(line.notes)


def test_a_child_gets_its_parents_weights_from_a_store_when_its_node_died(
    store: Store, cluster: Cluster
) -> None:
    study = store.location()
    line = Line(
        [
            (heir(0), nothing),
            (heir(1, 0), nothing),
            (heir(2, 0), lambda: kill_the_first_node_of(line, cluster)),
        ]
    )
    run_on_ray(line, study)
    assert line.shares == {0: None, 1: 1.0, 2: 1.0}
    assert line.told[1][0].metrics == line.told[2][0].metrics
    assert line.nodes[0] == line.nodes[1] != line.nodes[2]
    assert not any(line.notes)
    for number in line.told:
        files = (study / CANDIDATES / number).names()
        assert files == ["optimizer.safetensors", "weights.safetensors"]


def run_on_ray(line: Line, study: Location) -> None:
    evaluator: Any = LightningEvaluator(HeirTask(), Training(1), inherits=True)
    TuneExecutor(study, FixedShares(Share(1.0), largest=0)).run(line, evaluator)


def kill_the_first_node_of(line: Line, cluster: Cluster) -> None:
    (doomed,) = [it for it in cluster.worker_nodes if it.node_id.startswith(line.nodes[0])]
    cluster.remove_node(doomed, allow_graceful=False)
    # Its workers live a moment longer, in which they could still train what comes next.
    while any(it["Alive"] for it in ray.nodes() if it["NodeID"] == doomed.node_id):
        time.sleep(0.2)


def test_weights_that_no_memory_has_room_for_are_read_from_the_storage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "candidates" / "3").mkdir(parents=True)
    large = np.ones(NODE["object_store_memory"] // 2, np.float32)
    save_file({"a": large}, tmp_path / "candidates" / "3" / "weights.safetensors")
    no_disk = {"local_fs_capacity_threshold": 1e-6}
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as scratch:
        ray.init(
            "local", **NODE, _temp_dir=scratch, _system_config=no_disk, log_to_driver=False,
            logging_level=logging.ERROR,
        )  # fmt: skip
        mailbox, study = start_mailbox(), Location(tmp_path)
        publisher(mailbox, study)(3)
        published = borrower(mailbox, study)(3)
        ray.shutdown()
    assert "the weights of candidate 3 are not passed on: Local disk is full" in caplog.text
    assert np.array_equal(published.arrays["a"], large)
