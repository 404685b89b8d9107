"""Several workers that evaluate a candidate together: in step, as one, and gone at the end."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from phylon.cluster import TuneExecutor
from phylon.cluster.executor import Share
from phylon.cluster.location import Location
from phylon.cluster.shares import FixedShares
from phylon.driver import Driver
from phylon.errors import ClusterError
from phylon.search import Evaluator
from phylon.state import StudyState
from tests.cluster.studies import Line, new_driver, nothing
from tests.cluster.team_evaluators import Breaking, Heirs, Together, gone
from tests.trainables.heirs import heir

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_with_gpus")]


def run_team(folder: Path, evaluator: Evaluator, driver: Driver, share: Share) -> StudyState:
    TuneExecutor(Location(folder), FixedShares(share, largest=0)).run(driver, evaluator)
    return driver.state


def test_a_team_trains_in_step_and_is_used_again(tmp_path: Path) -> None:
    together = Together(tmp_path / "lines")
    state = run_team(tmp_path, together, new_driver(tmp_path, 2), Share(2.0, workers=2))
    assert state.completed == 2
    assert [record.step for record in state.records.values()] == [5, 5]
    assert state.records[0].resources == {"cpus": 4.0, "gpus": 0.0}
    lines = together.lines()
    for number in ("0", "1"):
        mine = sorted(line for line in lines if line[0] == number)
        assert [line[1:3] for line in mine] == [["0", "2"], ["1", "2"]]
        assert len({line[4] for line in mine}) == 1, "parameters differ between ranks"
    assert len({line[3] for line in lines}) == 2
    gone([int(line[3]) for line in lines])


def test_heirs_begin_and_end_the_same_on_all_workers_of_a_team(tmp_path: Path) -> None:
    heirs = Heirs(tmp_path / "lines", deaf=2)
    line = Line([(heir(number, 0 if number else None), nothing) for number in range(3)])
    shares = FixedShares(Share(1.0, workers=2), largest=0)
    TuneExecutor(Location(tmp_path), shares).run(line, heirs)
    assert line.shares == {0: None, 1: 1.0, 2: 1.0}
    assert not any(line.notes)
    lines = heirs.lines()
    for number in range(3):
        first, second = (lines[number, rank] for rank in range(2))
        assert {**first, "published": []} == second
        assert first["published"] == [0]
        assert bool(first["momenta"]) == bool(number)
        assert number == 0 or first["began"] == lines[0, 0]["ended"]
    assert lines[1, 0] == lines[2, 0]


@pytest.mark.parametrize("rank", [0, 1])
def test_what_any_worker_raises_fails_the_candidate_once(tmp_path: Path, rank: int) -> None:
    breaking = Breaking(tmp_path / "pids", "raises", rank)
    state = run_team(tmp_path, breaking, new_driver(tmp_path, 1), Share(1.0, workers=2))
    assert state.records[0].reason == "ZeroDivisionError: divided by nothing"
    assert state.records[0].lost == 0
    gone(breaking.processes())


def test_a_candidate_whose_team_lost_a_worker_runs_again(tmp_path: Path) -> None:
    breaking = Breaking(tmp_path / "pids", "dies", 1)
    state = run_team(tmp_path, breaking, new_driver(tmp_path, 1), Share(1.0, workers=2))
    assert state.completed == 1
    assert state.records[0].lost == 1
    gone(breaking.processes())


def test_a_stop_ends_the_team(tmp_path: Path) -> None:
    breaking, driver = Breaking(tmp_path / "pids", "hangs", 1), new_driver(tmp_path, 1)

    def stop() -> None:
        breaking.wait_until_all_work()
        driver.stop("enough")

    threading.Thread(target=stop, daemon=True).start()
    state = run_team(tmp_path, breaking, driver, Share(1.0, workers=2))
    assert state.completed == 0
    assert state.pending
    gone(breaking.processes())


def test_a_team_that_cannot_start_is_given_up(tmp_path: Path) -> None:
    """Ray Train would try for ever, without a word."""
    over = threading.Event()

    def kill_what_starts() -> None:
        while not over.wait(0.05):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    if process.cmdline()[:1] and "RayTrainWorker" in process.cmdline()[0]:
                        process.kill()

    threading.Thread(target=kill_what_starts, daemon=True).start()
    together = Together(tmp_path / "lines")
    try:
        with pytest.raises(ClusterError, match="no worker can be started"):
            run_team(tmp_path, together, new_driver(tmp_path, 1), Share(1.0, workers=2))
    finally:
        over.set()
