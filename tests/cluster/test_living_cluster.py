"""Studies on a cluster whose nodes come and go, and that they share."""

from __future__ import annotations

import logging
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from phylon import events
from tests.cluster.evaluators import Diary
from tests.cluster.studies import most_at_once, new_driver, new_executor, run

NODE = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 80_000_000}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster whose head has no CPUs."""
    with tempfile.TemporaryDirectory(prefix="ray-") as scratch:
        head = {**NODE, "num_cpus": 0, "temp_dir": scratch}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        ray.init(cluster.address, logging_level=logging.ERROR, log_to_driver=False)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


class Watch:
    """Notes when what happened."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, events.Event]] = []

    def __call__(self, event: events.Event) -> None:
        self.seen.append((time.time(), event))

    def of(self, kind: type[events.Event]) -> list[tuple[float, Any]]:
        return [(at, event) for at, event in self.seen if isinstance(event, kind)]

    def wait_for_nodes(self, number: int) -> None:
        """Wait until candidates were completed on so many nodes."""
        self._wait(lambda: len({it.node for _, it in self.of(events.Completed)}) >= number)

    def wait_for(self, kind: type[events.Event]) -> None:
        """Wait until that has happened."""
        self._wait(lambda: bool(self.of(kind)))

    def _wait(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 300
        while not is_so():
            assert time.monotonic() < deadline, self.seen
            time.sleep(0.1)


def test_nodes_that_join_are_used_and_nodes_that_die_cost_no_candidate(
    cluster: Cluster, tmp_path: Path
) -> None:
    doomed = cluster.add_node(**NODE)
    cluster.add_node(**NODE)
    watch, diary = Watch(), Diary(tmp_path / "diary", seconds=1.0)
    with ThreadPoolExecutor(1) as pool:
        study = pool.submit(run, tmp_path, diary, 80, cpus=1.0, listener=watch)
        watch.wait_for_nodes(2)
        died = time.time()
        cluster.remove_node(doomed, allow_graceful=False)
        watch.wait_for(events.Lost)
        cluster.add_node(**NODE)
        joined = time.time()
        state = study.result(timeout=300)
    completed, lost = watch.of(events.Completed), watch.of(events.Lost)
    assert sorted(event.candidate_id for _, event in completed) == list(range(80))
    assert state.failed == 0
    assert all(event.innocent for _, event in lost)
    ends = {int(line[0]): float(line[6]) for line in diary.lines()}
    again = [ends[event.candidate_id] - 1.0 - died for _, event in lost]
    print(f"noticed after {lost[0][0] - died:.1f} s, again at work after {again} s")
    first = {event.node: ends[event.candidate_id] - 1.0 for _, event in reversed(completed)}
    assert len(first) == 3
    print(f"first candidate on the new node {max(first.values()) - joined:.1f} s after it joined")
    assert max(first.values()) < joined + 60


@pytest.mark.slow
def test_a_cluster_without_any_cpu_is_waited_for(cluster: Cluster, tmp_path: Path) -> None:
    node = cluster.add_node(**NODE)
    watch = Watch()
    driver = new_driver(tmp_path, 12, watch)
    executor = new_executor(tmp_path, cpus=1.0)
    with ThreadPoolExecutor(1) as pool:
        study = pool.submit(executor.run, driver, Diary(tmp_path / "diary", seconds=1.0))
        watch.wait_for(events.Completed)
        cluster.remove_node(node, allow_graceful=False)
        while not executor.words and not study.done():
            time.sleep(0.1)
        assert executor.words == "waiting for a node: none has a CPU"
        cluster.add_node(**NODE)
        study.result(timeout=300)
    assert driver.state.completed == 12


def _study(address: str, folder: Path, candidates: int, slots: int | None) -> None:
    ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
    folder.mkdir()
    driver = new_driver(folder, candidates)
    executor = new_executor(folder, cpus=1.0, slots=slots)
    executor.run(driver, Diary(folder / "diary", seconds=0.3))
    ray.shutdown()


def _spans(folder: Path, begin: float = 0.0, end: float = 1e12) -> list[tuple[float, float]]:
    spans = [(float(line[5]), float(line[6])) for line in Diary(folder / "diary").lines()]
    return [span for span in spans if begin <= span[0] and span[1] <= end]


@pytest.mark.slow
def test_studies_share_a_cluster_fairly_and_keep_their_caps(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.add_node(**{**NODE, "num_cpus": 4})
    spawn = multiprocessing.get_context("spawn")
    first = spawn.Process(target=_study, args=(cluster.address, tmp_path / "a", 400, None))
    second = spawn.Process(target=_study, args=(cluster.address, tmp_path / "b", 60, None))
    third = spawn.Process(target=_study, args=(cluster.address, tmp_path / "c", 20, 1))
    first.start()
    while not (tmp_path / "a" / "diary").exists():
        time.sleep(0.1)
    second.start()
    second.join(timeout=300)
    third.start()
    first.join(timeout=300)
    third.join(timeout=300)
    assert [first.exitcode, second.exitcode, third.exitcode] == [0, 0, 0]
    theirs = _spans(tmp_path / "b")
    begin, end = theirs[20][0], theirs[-10][1]
    shared = _spans(tmp_path / "a", begin, end)
    second_had = len(_spans(tmp_path / "b", begin, end))
    print(f"together for {end - begin:.1f} s: {len(shared)} and {second_had} candidates")
    assert most_at_once(theirs) <= 3
    assert most_at_once(shared) == 2
    assert most_at_once(_spans(tmp_path / "a", theirs[-1][1])) == 4
    assert most_at_once(_spans(tmp_path / "c")) == 1
