"""Studies whose strategy waits for results: they run to their end, and go on as they were."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from phylon import events
from phylon.bench_setup import prepare
from phylon.ledger import history_item
from phylon.proposer import Proposer
from phylon.search import make_strategy
from phylon.state import StudyState
from tests.phylon.bench_problems import request, run, small_table
from tests.phylon.slots import SPACE, Slots, ended, journal, opened, plan, without_times

STRATEGIES = {
    "lamarckian": {"name": "lamarckian", "population": 5, "sample": 3},
    "lamarckian by generations": {
        "name": "lamarckian",
        "population": 5,
        "sample": 3,
        "generational": True,
    },
    "pbt": {"name": "pbt", "population": 4},
    "pbt by generations": {"name": "pbt", "population": 4, "generational": True},
}


def check_that_a_new_strategy_proposes_the_same(folder: Path, params: dict[str, Any]) -> None:
    """Ask anew, at each proposal in a journal, for what was proposed there."""
    proposer = Proposer(lambda: make_strategy(space=SPACE, seed=2, **params))
    state = StudyState()
    for event in journal(folder):
        state.apply(event)
        item = history_item(event, state)
        if item and item[1]:
            proposer.tell(*item)
        elif item:
            candidate = item[0]
            assert {*candidate.parents} <= proposer.living
            assert proposer.ask(candidate.id) == candidate
            assert proposer.living <= {r.id for r in state.records.values() if r.metrics}


@pytest.mark.parametrize("window", [None, 3, 9])
@pytest.mark.parametrize("name", STRATEGIES)
def test_it_goes_on_where_a_dead_driver_was_until_the_budget_is_spent(
    tmp_path: Path, name: str, window: int | None
) -> None:
    params, random = STRATEGIES[name], Random(3)
    options: dict[str, Any] = {"window": window, "strategy": params}
    for limit in [*(random.randint(1, 20) for _ in range(6)), 10_000]:
        with opened(tmp_path, plan(33, seed=2), **options) as driver:
            Slots(driver, 6, random, fails=0.2).run(limit)
    with opened(tmp_path, plan(33, seed=2), **options) as driver:
        assert driver.finished
    assert sorted(ended(journal(tmp_path))) == list(range(33))
    check_that_a_new_strategy_proposes_the_same(tmp_path, params)


@pytest.mark.parametrize("name", STRATEGIES)
def test_strict_order_gives_the_same_journal_on_any_number_of_slots(
    tmp_path: Path, name: str
) -> None:
    histories = []
    for slots in (1, 3, 8):
        folder = tmp_path / str(slots)
        with opened(folder, plan(30, seed=2), window=6, strategy=STRATEGIES[name]) as driver:
            Slots(driver, slots, Random(slots), fails=0.2).run()
        histories.append(without_times(journal(folder)))
    assert histories[0] == histories[1] == histories[2]


def test_generations_follow_one_another_in_a_study(tmp_path: Path) -> None:
    params = STRATEGIES["pbt by generations"]
    with opened(tmp_path, plan(12, seed=2), strategy=params) as driver:
        Slots(driver, 12, Random(0)).run()
    told = 0
    for event in journal(tmp_path):
        told += isinstance(event, events.Completed)
        if isinstance(event, events.Proposed):
            assert told == event.candidate.id // 4 * 4


def test_steps_of_one_network_are_one_network_in_the_final_phase(tmp_path: Path) -> None:
    config = plan(24, seed=2, final={"top": 3, "epochs": 2, "seeds": 1})
    with opened(tmp_path, config, strategy=STRATEGIES["pbt"]) as driver:
        Slots(driver, 4, Random(0)).run()
    steps = [record.candidate.architecture for record in driver.state.ranking("search")]
    assert len(set(steps[:3])) < 3, "the best steps are of different networks anyway"
    finals = [record.candidate.architecture for record in driver.state.ranking("final")]
    assert len(finals) == len(set(finals)) == 3


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_bench_waits_with_a_strategy_that_waits(tmp_path: Path, name: str) -> None:
    given = ",".join(f"{key}={value}" for key, value in STRATEGIES[name].items() if key != "name")
    strategy = f"{STRATEGIES[name]['name']},{given}".lower()
    asked = request(small_table(tmp_path), strategies=[strategy], budget=40, seeds=1, workers=12)
    (trajectory,) = run(prepare(asked)).series[0].trajectories
    assert sorted(trajectory.candidates.tolist()) == list(range(40))
