"""The driver's promises: results come in any order, and drivers die at any event."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylon import events
from phylon.cluster.executor import Usage
from phylon.driver import Driver
from phylon.journal import JournalReader, JournalWriter
from phylon.keeping import Keeping
from phylon.ledger import Ledger
from phylon.order import FreeOrder
from phylon.proposer import Proposer
from phylon.search import Choice, SearchSpace, make_strategy
from phylon.search.candidate import Measurement
from phylon.state import StudyState
from tests.phylon.slots import (
    CREATED,
    FINAL,
    LOCAL,
    Slots,
    ended,
    journal,
    opened,
    plan,
    tear,
    without_times,
)


@given(st.randoms(use_true_random=False), st.integers(1, 5), st.sampled_from([None, 1, 3]))
@settings(max_examples=30)
def test_a_study_ends_with_all_candidates_and_the_final_trainings(
    random: Random, slots: int, window: int | None
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with opened(folder, plan(12, seed=3, final=FINAL), window=window) as driver:
            Slots(driver, slots, random).run()
            assert driver.finished
        state = StudyState(journal(folder))
        searched = [r for r in state.records.values() if r.candidate.phase == "search"]
        assert [r.id for r in searched] == list(range(12))
        finals = [r.candidate for r in state.records.values() if r.candidate.phase == "final"]
        best = state.ranking("search")[:2]
        assert [c.parents[0] for c in finals] == [best[0].id] * 2 + [best[1].id] * 2
        assert all(c.epochs == 2 and c.operator == "retrain" for c in finals)
        assert len({c.seed for c in finals}) == 4
        assert sorted(ended(journal(folder))) == list(range(16))


@given(st.randoms(use_true_random=False), st.integers(1, 4), st.sampled_from([None, 2, 5]))
@settings(max_examples=30)
def test_a_driver_that_dies_at_any_event_loses_nothing_and_repeats_nothing(
    random: Random, slots: int, window: int | None
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder, config = Path(scratch), plan(15, seed=1, final=FINAL)
        for limit in [*(random.randint(1, 25) for _ in range(8)), 10_000]:
            tear(folder, random)
            before = set(ended(journal(folder))) | set(ended(_early(folder)))
            with opened(folder, config, window=window) as driver:
                crew = Slots(driver, slots, random, fails=0.2)
                crew.run(limit)
                assert before.isdisjoint(crew.trained)
        history = journal(folder)
        assert len(ended(history)) == len(set(ended(history)))
        steps = [
            (e.candidate_id, e.measurement.step) for e in history if isinstance(e, events.Reported)
        ]
        assert len(steps) == len(set(steps))
        assert sorted(ended(history)) == list(range(len(StudyState(history).records)))
        assert len(ended(history)) in (19, 15 + 2 * StudyState(history).completed)


def _early(folder: Path) -> list[events.Event]:
    return list(JournalReader(LOCAL, str(folder / "early")).read())


@given(st.randoms(use_true_random=False), st.integers(1, 4))
@settings(max_examples=20)
def test_replaying_the_journal_gives_the_live_state(random: Random, slots: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with opened(folder, plan(10, seed=5)) as driver:
            crew = Slots(driver, slots, random, fails=0.3)
            for _ in range(random.randint(1, 60)):
                crew.step()
            driver.flush()
            replayed = StudyState(journal(folder))
            assert vars(replayed) == vars(driver.state)


@pytest.mark.parametrize(("deaths", "inherit"), [(0, False), (3, False), (3, True)])
def test_strict_order_gives_the_same_journal_on_any_number_of_slots(
    tmp_path: Path, deaths: int, inherit: bool
) -> None:
    histories = []
    for slots in (1, 2, 4):
        folder = tmp_path / str(slots)
        random = Random(slots)
        config = plan(20, seed=7, final=FINAL)
        for _ in range(deaths):
            with opened(folder, config, window=3, inherit=inherit) as driver:
                Slots(driver, slots, random, fails=0.2).run(limit=random.randint(5, 20))
        with opened(folder, config, window=3, inherit=inherit) as driver:
            Slots(driver, slots, random, fails=0.2).run()
            assert driver.finished
        histories.append(without_times(journal(folder)))
    assert histories[0] == histories[1] == histories[2]
    assert any(isinstance(event, events.Dropped) for event in histories[0])


def test_a_strict_proposal_sees_exactly_the_results_before_its_window(tmp_path: Path) -> None:
    window = 3
    with opened(tmp_path, plan(12, seed=0), window=window) as driver:
        Slots(driver, 4, Random(0)).run()
    told = 0
    for event in journal(tmp_path):
        if isinstance(event, events.Completed):
            assert event.candidate_id == told
            told += 1
        if isinstance(event, events.Proposed):
            assert told == max(0, event.candidate.id - window)


def test_a_final_phase_that_was_torn_at_its_beginning_is_completed(tmp_path: Path) -> None:
    with opened(tmp_path, plan(3, seed=0, final=FINAL)) as driver:
        crew = Slots(driver, 1, Random(0))
        while not driver.state.proposed["final"]:
            crew.step()
    (segment,) = (tmp_path / "journal").glob("*.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if b'"phase":"final"' in line)
    segment.write_bytes(b"".join(lines[: first + 1]) + lines[first + 1][:-9])
    with opened(tmp_path, plan(3, seed=0, final=FINAL)) as driver:
        Slots(driver, 1, Random(0)).run()
        assert driver.finished
    assert sorted(ended(journal(tmp_path))) == list(range(7))


def test_a_candidate_whose_worker_dies_three_times_fails_and_the_study_goes_on(
    tmp_path: Path,
) -> None:
    with opened(tmp_path, plan(2, seed=0)) as driver:
        for _ in range(3):
            candidate = driver.propose()
            assert candidate
            assert candidate.id == 0
            driver.lose(0, [], "its worker died")
        assert driver.state.records[0].state == "failed"
        assert driver.state.records[0].reason == "its worker died (3 attempts)"
        after = driver.propose()
        assert after
        assert after.id == 1


def test_candidates_that_waited_for_a_dead_worker_run_without_blame(tmp_path: Path) -> None:
    with opened(tmp_path, plan(3, seed=0)) as driver:
        first, second, third = (driver.propose() for _ in range(3))
        assert first
        assert second
        assert third
        driver.lose(first.id, [second.id, third.id], "its worker died")
        assert [driver.propose() for _ in range(3)] == [first, second, third]
        assert [record.lost for record in driver.state.records.values()] == [1, 0, 0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_result_that_is_no_number_fails_the_candidate(tmp_path: Path, value: float) -> None:
    with opened(tmp_path, plan(1, seed=0)) as driver:
        assert driver.propose()
        driver.observe(0, Measurement(1, {"y": value}, 0.1))
        driver.complete(0, Usage(0.1))
        assert driver.state.records[0].state == "failed"
        assert "not a finite number" in driver.state.records[0].reason


def test_a_missing_objective_fails_the_candidate_and_names_what_it_reported(tmp_path: Path) -> None:
    with opened(tmp_path, plan(1, seed=0)) as driver:
        assert driver.propose()
        driver.observe(0, Measurement(1, {"z": 1.0}, 0.1))
        driver.complete(0, Usage(0.1))
        assert driver.state.records[0].reason == (
            "objective `y` was not reported; the candidate reported: z"
        )


def test_25_candidates_and_25_more_are_those_of_50(tmp_path: Path) -> None:
    with opened(tmp_path / "whole", plan(50, seed=9)) as driver:
        Slots(driver, 1, Random(0)).run()
    for budget in (25, 50):
        with opened(tmp_path / "parts", plan(budget, seed=9)) as driver:
            Slots(driver, 1, Random(0)).run()
    assert without_times(journal(tmp_path / "parts")) == without_times(journal(tmp_path / "whole"))


def test_a_small_space_ends_the_search_before_the_budget(tmp_path: Path) -> None:
    space = SearchSpace(kind=Choice("a", "b", "c"))
    writer = JournalWriter(LOCAL, str(tmp_path))
    proposer = Proposer(lambda: make_strategy("random", space))
    ledger = Ledger(writer, StudyState([CREATED]), proposer, Keeping(1))
    driver = Driver(plan(10, seed=0), proposer, ledger, order=FreeOrder())
    seen = []
    while candidate := driver.propose():
        seen.append(candidate.architecture["kind"])
        driver.observe(candidate.id, Measurement(1, {"y": 1.0}, 0.1))
        driver.complete(candidate.id, Usage(0.1))
    assert sorted(seen) == ["a", "b", "c"]
    assert driver.finished
    assert "every architecture" in driver.end_reason
