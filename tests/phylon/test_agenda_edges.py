"""Where a study with shared weights comes to an end, or begins anew, and where its driver dies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from phylon import events
from phylon.driver import EXHAUSTED, Driver
from phylon.errors import JournalError
from phylon.journal import JournalReader, JournalWriter
from phylon.search import Choice, SearchSpace
from tests.phylon import slots
from tests.phylon.slots import LOCAL, SPACE, Slots, journal, opened
from tests.phylon.test_agenda import faithful, misleading, plan

SMALL = SearchSpace(x=Choice(0.1, 0.2, 0.3, 0.4, 0.5), kind=Choice("a", "b"))
FINAL = {"top": 2, "epochs": 2, "seeds": 1}
SWITCH: dict[str, Any] = {"rank_floor": 0.5, "on_low_rank": "switch"}


def written(folder: Path, history: Sequence[events.Event]) -> Path:
    """Return a folder with a journal of these events."""
    place = LOCAL, str(folder / "journal")
    writer = JournalWriter(*place, reader=JournalReader(*place))
    writer.append(*history)
    writer.close()
    return folder


def of_phase(driver: Driver, phase: str) -> list[Any]:
    return [r.candidate for r in driver.state.records.values() if r.candidate.phase == phase]


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_space_smaller_than_the_budget_is_searched_and_its_best_are_trained(
    tmp_path: Path, workers: int, window: int | None
) -> None:
    for name, config in (("alone", slots.plan(50, 1, FINAL)), ("shared", plan(50, FINAL))):
        with opened(tmp_path / name, config, window=window, space=SMALL) as driver:
            Slots(driver, workers, Random(1), metrics=faithful).run()
        assert driver.finished
        assert driver.end_reason == EXHAUSTED
        assert driver.state.proposed["search"] == 10
        assert driver.state.proposed["final"] == 2


def test_samples_that_all_fail_leave_nothing_to_trust_the_scores_by(tmp_path: Path) -> None:
    def broken(candidate: Any, step: int) -> dict[str, float]:
        return {} if candidate.phase == "sample" else faithful(candidate, step)

    with opened(tmp_path, plan(rank_floor=0.5, on_low_rank="stop")) as driver:
        Slots(driver, 3, Random(1), metrics=broken).run()
    assert driver.finished
    assert not driver.state.proposed["probe"]
    assert driver.state.ranked is not None
    assert driver.state.ranked.verdict == "stopped"
    assert "could not be told" in driver.end_reason


def test_what_the_controller_advises_is_tried_first_and_after_a_switch_the_best_scored(
    tmp_path: Path,
) -> None:
    advice = [SPACE.sample(np.random.default_rng(100 + i)) for i in range(12)]
    with opened(tmp_path, plan(12, **SWITCH), advice=advice) as driver:
        Slots(driver, 3, Random(1), metrics=misleading).run()
    searched = of_phase(driver, "search")
    scored = [each.architecture for each in searched if each.is_scored]
    alone = [each for each in searched if not each.is_scored]
    assert scored == advice[: len(scored)]
    assert [each.operator for each in alone[:6]] == ["prime"] * 5 + ["crossover"]


def test_a_switch_before_the_search_begins_with_the_best_samples(tmp_path: Path) -> None:
    with opened(tmp_path, plan(4, **SWITCH)) as driver:
        Slots(driver, 1, Random(1), metrics=misleading).run()
    best = driver.state.ranking("sample")[0].candidate.architecture
    assert of_phase(driver, "search")[0].architecture == best
    assert of_phase(driver, "search")[0].operator == "prime"


@pytest.mark.parametrize("window", [None, 3])
def test_a_driver_that_dies_between_the_verdict_and_what_follows_is_taken_over(
    tmp_path: Path, window: int | None
) -> None:
    config = plan(**SWITCH)
    with opened(tmp_path / "whole", config, window=window) as driver:
        Slots(driver, 3, Random(1), metrics=misleading).run()
    whole = slots.without_times(journal(tmp_path / "whole"))
    kinds = [type(event) for event in whole]
    cut = kinds.index(events.Primed)
    for kept in (cut - 1, cut):
        torn = written(tmp_path / str(kept), whole[:kept])
        with opened(torn, config, window=window):
            pass
        with opened(torn, config, window=window) as driver:
            Slots(driver, 3, Random(1), metrics=misleading).run()
        assert slots.without_times(journal(torn))[: cut + 1] == whole[: cut + 1]


def test_a_space_that_scores_exhausted_is_there_again_after_a_switch(tmp_path: Path) -> None:
    with opened(tmp_path, plan(50, **SWITCH), space=SMALL) as driver:
        Slots(driver, 1, Random(1), metrics=misleading).run()
    alone = [each for each in of_phase(driver, "search") if not each.is_scored]
    assert len(alone) == 10
    assert driver.end_reason == EXHAUSTED


def test_scores_from_memory_are_not_kept_twice_by_drivers_that_die(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A strict order writes results that are early before all others: it may die in between."""
    random, config = Random(5), plan(30)
    for _ in range(200):
        with opened(tmp_path, config, window=6, repeats=True, space=SMALL) as driver:
            write = driver._ledger.flush

            def dies(write: Any = write) -> None:
                if random.random() < 0.2:
                    raise JournalError("the driver died")
                write()

            monkeypatch.setattr(driver._ledger, "flush", dies)
            try:
                Slots(driver, 3, Random(1), metrics=faithful).run()
            except JournalError:
                continue
            break
    assert driver.finished
    assert sorted(slots.ended(journal(tmp_path))) == [*driver.state.records]


def test_a_score_that_is_known_by_now_costs_the_next_driver_no_worker(tmp_path: Path) -> None:
    config = plan(30)
    with opened(tmp_path / "whole", config, space=SMALL) as driver:
        Slots(driver, 1, Random(1), metrics=faithful).run()
    history = journal(tmp_path / "whole")
    repeat = next(e.candidate_id for e in history if getattr(e, "node", "") == "cache")
    proposed = [getattr(getattr(e, "candidate", None), "id", None) for e in history]
    torn = written(tmp_path / "torn", history[: proposed.index(repeat) + 1])
    with opened(torn, config, space=SMALL) as driver:
        runner = Slots(driver, 1, Random(1), metrics=faithful)
        runner.run()
        assert repeat not in runner.trained
        assert driver.state.records[repeat].state == "completed"
