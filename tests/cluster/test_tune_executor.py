"""Candidates on a real Ray: fractions, reuse, streams, dying workers, and stopping."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest
import ray

from phylon import events
from phylon.cluster import TuneExecutor, tune_executor
from phylon.cluster.executor import Share, Shares, Usage
from phylon.cluster.fairness import Demand, Neighbours
from phylon.cluster.location import Location
from phylon.cluster.mailbox import start_mailbox
from phylon.errors import ClusterError, ConfigurationError, JournalError
from phylon.search import Candidate
from tests.cluster.evaluators import Deadly, Diary, Faulty, Heavy, Patient, Unloadable
from tests.cluster.studies import most_at_once, new_driver, new_executor, run

pytestmark = pytest.mark.usefixtures("ray_with_gpus")


class Greedy:
    """Somebody else's actor."""

    def hold(self) -> None:
        """Return once the actor has its CPUs."""


def test_fractions_of_gpus_are_shared_and_their_number_is_the_limit(tmp_path: Path) -> None:
    diary = Diary(tmp_path / "diary", seconds=0.5)
    state = run(tmp_path, diary, 12, gpus=0.5)
    lines = diary.lines()
    assert state.completed == 12
    assert most_at_once([(float(line[5]), float(line[6])) for line in lines]) == 4
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
    assert sum(record.lost for record in state.records.values()) == 2
    assert state.records[2].lost >= 1  # a neighbour in the same batch may be blamed, but not twice


def test_a_candidate_that_kills_every_worker_fails_alone(tmp_path: Path) -> None:
    state = run(tmp_path, Deadly(tmp_path / "deaths", victim=1, times=99), 8)
    assert (state.completed, state.failed) == (7, 1)
    assert state.records[1].reason == "its worker died (3 attempts)"


def test_a_worker_that_has_to_leave_gives_its_candidate_back(tmp_path: Path) -> None:
    patient = Patient(tmp_path / "diary", steps=4, seconds=0.5)

    def terminate() -> None:
        while not patient.path.exists():
            time.sleep(0.1)
        time.sleep(0.7)
        os.kill(int(patient.path.read_text().split("|")[1]), signal.SIGTERM)

    threading.Thread(target=terminate, daemon=True).start()
    state = run(tmp_path, patient, 2, cpus=4.0)
    begun = [line.split("|") for line in patient.path.read_text().splitlines()]
    assert state.completed == 2
    assert [record.lost for record in state.records.values()] == [0, 0]
    assert [line[0] for line in begun] == ["0", "0", "1"]
    assert begun[0][1] != begun[1][1]
    assert int(begun[1][2]) > 1


@pytest.mark.parametrize(
    ("evaluator", "reason"),
    [
        (Unloadable(), "ImportError: no such thing on the workers"),
        pytest.param(Unloadable(kills=True), "it dies as it starts", marks=pytest.mark.slow),
    ],
    ids=["raises", "kills"],
)
def test_an_evaluator_that_no_worker_can_load_is_said_so(
    tmp_path: Path, evaluator: Unloadable, reason: str
) -> None:
    with pytest.raises(ClusterError, match=f"no worker can be started: {reason}"):
        run(tmp_path, evaluator, 2)


@pytest.mark.slow
def test_without_its_mailbox_the_run_ends_and_no_candidate_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox, diary = start_mailbox(), Diary(tmp_path / "diary", seconds=0.5)
    monkeypatch.setattr(tune_executor, "start_mailbox", lambda: mailbox)

    def kill() -> None:
        while not diary.path.exists():
            time.sleep(0.1)
        ray.kill(mailbox)

    threading.Thread(target=kill, daemon=True).start()
    driver = new_driver(tmp_path, 60)
    with pytest.raises(ClusterError, match="hands out candidates, died"):
        new_executor(tmp_path, cpus=1.0).run(driver, diary)
    assert driver.state.completed < 60
    assert not driver.state.failed


def test_more_than_any_node_has_is_refused_with_the_largest_node(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"asks for 5 cpus .* largest node has 4 cpus"):
        new_executor(tmp_path, cpus=5.0)


class BySize(Shares):
    """Every fourth candidate needs the whole machine, the others a quarter each."""

    least = Share(1.0)
    kinds: ClassVar = {"resources": least}

    def __init__(self) -> None:
        self.learned: list[int] = []

    def of(self, candidate: Candidate) -> Share:
        return Share(1.0 if candidate.id % 4 else 4.0)

    def larger(self, share: Share) -> None:  # noqa: ARG002
        return None

    def learn(self, candidate: Candidate, usage: Usage, *, sufficed: bool) -> None:  # noqa: ARG002
        self.learned.append(candidate.id)


@pytest.mark.slow
def test_candidates_of_several_sizes_each_get_theirs(tmp_path: Path) -> None:
    diary = Diary(tmp_path / "diary", seconds=0.2)
    driver = new_driver(tmp_path, 8)
    shares = BySize()
    TuneExecutor(Location(tmp_path), shares).run(driver, diary)
    assert not shares.learned  # for another run, of another study
    assert driver.state.completed == 8
    held = {record.id: record.resources["cpus"] for record in driver.state.records.values()}
    assert held == {number: 1.0 if number % 4 else 4.0 for number in range(8)}
    assert {int(line[0]): line[3] for line in diary.lines()} == {
        number: f"{cpus:g}" for number, cpus in held.items()
    }


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


def test_the_next_driver_of_a_study_is_no_other_study() -> None:
    demand = Demand({"CPU": 1.0}, slots=4)
    assert Neighbours("/studies/a").exchange(demand) == {}  # and its driver is killed
    again, other = Neighbours("/studies/a"), Neighbours("/studies/b")
    assert again.exchange(demand) == {}
    assert other.exchange(demand) == {"/studies/a": demand}
    again.leave()
    assert other.exchange(demand) == {}
    other.leave()


def test_nothing_of_tune_is_left_behind(tmp_path: Path) -> None:
    run(tmp_path, Diary(tmp_path / "diary"), 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["diary", "early", "journal"]
