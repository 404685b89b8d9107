"""Candidates on a real Ray: fractions, reuse, streams, dying workers, and stopping."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import ray
from pyarrow import fs

from phylon import events
from phylon.cluster import TuneExecutor
from phylon.cluster.executor import Share
from phylon.cluster.location import Location
from phylon.cluster.shares import FixedShares
from phylon.config import StudyConfig
from phylon.driver import Driver
from phylon.errors import ClusterError, ConfigurationError, JournalError
from phylon.journal import JournalWriter
from phylon.ledger import Ledger, Listener
from phylon.order import FreeOrder, StrictOrder
from phylon.search import Evaluator, Float, SearchSpace, make_strategy
from phylon.state import StudyState
from tests.cluster.evaluators import Deadly, Diary, Faulty, Heavy, Unloadable

pytestmark = pytest.mark.usefixtures("ray_with_gpus")

SPACE = SearchSpace(x=Float(0.0, 1.0))


class Greedy:
    """Somebody else's actor."""

    def hold(self) -> None:
        """Return once the actor has its CPUs."""


def new_driver(
    folder: Path, candidates: int, listener: Listener | None = None, window: int | None = None
) -> Driver:
    config = StudyConfig.build(
        name="s",
        task="t:t",
        objectives=[{"metric": "y", "direction": "maximize"}],
        budget={"candidates": candidates},
    )
    created = events.Created(
        uid="u",
        config=config.to_json(),
        space=SPACE.to_json(),
        metrics=["y"],
    )
    state = StudyState([created])
    local = fs.LocalFileSystem()
    early = JournalWriter(local, str(folder / "early"))
    strategy = make_strategy("random", SPACE)
    journal = JournalWriter(local, str(folder / "journal"))
    ledger = Ledger(journal, state, strategy, [listener] if listener else [])
    order = StrictOrder(window, early, state) if window else FreeOrder()
    return Driver(config, strategy, ledger, order=order)


def new_executor(folder: Path, cpus: float = 0.5, gpus: float = 0.0) -> TuneExecutor:
    return TuneExecutor(Location(folder), FixedShares(Share(cpus, gpus), largest=0))


def run(folder: Path, evaluator: Evaluator, candidates: int, **resources: float) -> StudyState:
    driver = new_driver(folder, candidates)
    new_executor(folder, **resources).run(driver, evaluator)
    assert driver.finished
    return driver.state


def most_at_once(lines: list[list[str]]) -> int:
    moments = [(float(line[5]), 1) for line in lines] + [(float(line[6]), -1) for line in lines]
    running = most = 0
    for _, change in sorted(moments):
        running += change
        most = max(most, running)
    return most


def test_fractions_of_gpus_are_shared_and_their_number_is_the_limit(tmp_path: Path) -> None:
    diary = Diary(tmp_path / "diary", seconds=0.5)
    state = run(tmp_path, diary, 12, gpus=0.5)
    lines = diary.lines()
    assert state.completed == 12
    assert most_at_once(lines) == 4
    assert {line[2] for line in lines} == {"cuda"}
    assert {line[4] for line in lines} == {"0", "1"}
    assert {record.resources["gpus"] for record in state.records.values()} == {0.5}
    assert all(record.node for record in state.records.values())


def test_a_worker_without_a_gpu_sees_none(tmp_path: Path) -> None:
    diary = Diary(tmp_path / "diary")
    run(tmp_path, diary, 3, cpus=2.0)
    assert {(line[2], line[3], line[4]) for line in diary.lines()} == {("cpu", "2", "")}


def test_workers_are_reused_for_every_candidate(tmp_path: Path) -> None:
    diary = Diary(tmp_path / "diary", seconds=0.05)
    state = run(tmp_path, diary, 20, cpus=2.0)
    assert state.completed == 20
    assert sorted(int(line[0]) for line in diary.lines()) == list(range(20))
    assert len({line[1] for line in diary.lines()}) <= 2


def test_data_reaches_workers_without_a_copy(tmp_path: Path) -> None:
    state = run(tmp_path, Heavy(), 4)
    assert {record.metrics["y"] for record in state.records.values()} == {0.0}


def test_an_exception_ends_its_candidate_and_is_kept(tmp_path: Path) -> None:
    state = run(tmp_path, Faulty(), 9)
    reasons = {record.id: record.reason for record in state.records.values() if record.reason}
    assert reasons == dict.fromkeys((0, 3, 6), "ZeroDivisionError: candidate divided by nothing")
    assert state.completed == 6


def test_a_candidate_whose_worker_died_runs_again_under_its_id(tmp_path: Path) -> None:
    state = run(tmp_path, Deadly(tmp_path / "deaths", victim=2, times=2), 8)
    assert state.completed == 8
    assert [record.lost for record in state.records.values()] == [0, 0, 2, 0, 0, 0, 0, 0]


def test_a_candidate_that_kills_every_worker_fails_alone(tmp_path: Path) -> None:
    state = run(tmp_path, Deadly(tmp_path / "deaths", victim=1, times=99), 8)
    assert (state.completed, state.failed) == (7, 1)
    assert state.records[1].reason == "its worker died (3 attempts)"


def test_an_evaluator_that_no_worker_can_load_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"started: ImportError: no such thing on the workers"):
        run(tmp_path, Unloadable(), 2)


def test_more_than_any_node_has_is_refused_with_the_largest_node(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"asks for 5 cpus .* largest node has 4 cpus"):
        new_executor(tmp_path, cpus=5.0)


def test_a_stop_abandons_running_candidates(tmp_path: Path) -> None:
    driver = new_driver(tmp_path, 4)
    threading.Timer(6.0, driver.stop, ["enough"]).start()
    begin = time.monotonic()
    new_executor(tmp_path, gpus=0.5).run(driver, Diary(tmp_path / "diary", seconds=100.0))
    assert time.monotonic() - begin < 60
    assert driver.state.completed == 0
    assert driver.state.pending


def test_a_storage_that_fails_ends_the_run_with_its_error(tmp_path: Path) -> None:
    def break_storage(event: events.Event) -> None:
        if isinstance(event, events.Completed):
            raise JournalError("the storage is gone")

    driver = new_driver(tmp_path, 50, break_storage)
    with pytest.raises(JournalError, match="the storage is gone"):
        new_executor(tmp_path, gpus=0.5).run(driver, Diary(tmp_path / "diary"))
    assert driver.state.completed < 50


@pytest.mark.parametrize("window", [None, 2], ids=["free", "strict"])
def test_a_cluster_that_others_use_too_only_slows_the_study(
    tmp_path: Path, window: int | None
) -> None:
    greedy = ray.remote(num_cpus=3)(Greedy).remote()
    ray.get(greedy.hold.remote())
    driver = new_driver(tmp_path, 8, window=window)
    executor = new_executor(tmp_path, cpus=1.0)
    assert executor.slots == 4
    executor.run(driver, Diary(tmp_path / "diary", seconds=0.1))
    ray.kill(greedy)
    assert driver.state.completed == 8


def test_nothing_of_tune_is_left_behind(tmp_path: Path) -> None:
    run(tmp_path, Diary(tmp_path / "diary"), 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["diary", "early", "journal"]
