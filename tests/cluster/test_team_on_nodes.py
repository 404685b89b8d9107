"""A team over two nodes: in step, lost with a node, and gone with its driver."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray
from ray._private.node import Node
from ray.cluster_utils import Cluster

from phylon.cluster import TuneExecutor
from phylon.cluster.executor import Share
from phylon.cluster.location import Location
from phylon.cluster.shares import FixedShares
from tests.cluster.studies import new_driver
from tests.cluster.team_evaluators import Breaking, Together, gone

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}
SHARES = FixedShares(Share(1.0, workers=2), largest=0)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two nodes with room for one worker each."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as scratch:
        own = Cluster(
            True, head_node_args={**NODE, "include_dashboard": False, "temp_dir": scratch}
        )
        own.add_node(**NODE)
        ray.init(own.address, logging_level=logging.ERROR, log_to_driver=False)
        yield own
        ray.shutdown()
        own.shutdown()


def test_parameters_on_two_nodes_are_equal_to_the_last_bit(
    tmp_path: Path, cluster: Cluster
) -> None:
    together, driver = Together(tmp_path / "lines"), new_driver(tmp_path, 1)
    TuneExecutor(Location(tmp_path), SHARES).run(driver, together)
    assert driver.state.completed == 1
    first, second = together.lines()
    assert {first[1], second[1]} == {"0", "1"}
    assert first[4] == second[4]
    nodes = {node["NodeID"] for node in ray.nodes()}  # type: ignore[no-untyped-call]
    assert len(nodes) == len(cluster.list_all_nodes()) == 2


def test_a_candidate_is_not_blamed_for_a_node_that_its_team_lost(
    tmp_path: Path, cluster: Cluster
) -> None:
    breaking, driver = Breaking(tmp_path / "pids", "hangs", 1), new_driver(tmp_path, 1)

    def remove_a_node_of_the_team() -> None:
        breaking.wait_until_all_work()
        raylets = {psutil.Process(pid).ppid() for pid in breaking.processes()}
        theirs = [it for it in cluster.worker_nodes if raylet_of(it) in raylets]
        cluster.remove_node(theirs[0], allow_graceful=False)

    cluster.add_node(**NODE)
    threading.Thread(target=remove_a_node_of_the_team, daemon=True).start()
    TuneExecutor(Location(tmp_path), SHARES).run(driver, breaking)
    assert driver.state.completed == 1
    assert driver.state.records[0].lost == 0
    assert len(breaking.processes()) == 4
    gone(breaking.processes())


def raylet_of(node: Node) -> int:
    (raylet,) = node.all_processes["raylet"]
    return int(raylet.process.pid)


DRIVER = """
import ray, sys
from pathlib import Path
from tests.cluster.test_team_on_nodes import *
folder = Path(sys.argv[1])
ray.init(sys.argv[2], log_to_driver=False)
breaking = Breaking(folder / "pids", "hangs", 1)
TuneExecutor(Location(folder), SHARES).run(new_driver(folder, 1), breaking)
"""


def test_a_driver_that_is_killed_leaves_nothing_behind(tmp_path: Path, cluster: Cluster) -> None:
    command = [sys.executable, "-c", DRIVER, tmp_path, cluster.address]
    driver = subprocess.Popen(command, cwd=ROOT)
    breaking = Breaking(tmp_path / "pids", "hangs", 1)
    breaking.wait_until_all_work()
    driver.kill()
    driver.wait()
    gone(breaking.processes())
    while ray.available_resources().get("CPU") != 2.0 or living_actors():
        time.sleep(0.2)


def living_actors() -> list[str]:
    every = ray._private.state.actors()
    return [actor["ActorClassName"] for actor in every.values() if actor["State"] != "DEAD"]
