"""A study with shared weights, phase by phase, on simulated slots."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from phylon import events
from phylon.config import StudyConfig
from phylon.driver import Driver
from phylon.search.candidate import Candidate
from tests.phylon.slots import CREATED, Slots, journal, opened, trained, without_times

PROBES = 4
SAMPLES = 16


def plan(candidates: int = 12, final: dict[str, Any] | None = None, **sharing: Any) -> StudyConfig:
    return StudyConfig.build(
        name="s",
        task="t:t",
        objectives=CREATED.config["objectives"],
        budget={"candidates": candidates},
        evaluator="supernet",
        supernet={"probes": PROBES, **sharing},
        final=final,
        seed=3,
    )


def faithful(candidate: Candidate, step: int) -> dict[str, float]:
    """Scores that rank networks as training them does."""
    if candidate.phase == "supernet":
        return {"loss": 1.0 / step}
    return {"y": candidate.architecture["x"]}


def misleading(candidate: Candidate, step: int) -> dict[str, float]:
    """Scores that rank networks the other way round."""
    metrics = faithful(candidate, step)
    return {"y": -metrics["y"]} if candidate.is_scored else metrics


def run(folder: Path, config: StudyConfig, metrics: Any = faithful, **options: Any) -> Driver:
    with opened(folder, config, **options) as driver:
        Slots(driver, 3, Random(1), metrics=metrics).run()
    assert driver.finished
    return driver


def phases(driver: Driver) -> list[str]:
    return [record.candidate.phase for record in driver.state.records.values()]


def test_the_supernet_comes_first_and_alone(tmp_path: Path) -> None:
    with opened(tmp_path, plan()) as driver:
        supernet = driver.propose()
        assert supernet is not None
        assert (supernet.id, supernet.phase) == (0, "supernet")
        assert driver.propose() is None
        assert not driver.finished


def test_everything_is_scored_with_the_supernets_weights_but_probes_and_finals(
    tmp_path: Path,
) -> None:
    state = run(tmp_path, plan(final={"top": 2, "epochs": 3, "seeds": 2})).state
    assert state.proposed == {
        "supernet": 1, "sample": SAMPLES, "search": 12, "probe": PROBES, "final": 4,
    }  # fmt: skip
    for record in state.records.values():
        candidate = record.candidate
        assert candidate.is_scored == (candidate.phase in ("sample", "search"))
        assert (candidate.inherit_from == 0) == candidate.is_scored
    assert [*state.records] == list(range(len(state.records)))


@pytest.mark.parametrize(("weights", "begins"), [("extracted", [0, 0]), ("both", [None, 0] * 2)])
def test_finals_begin_with_the_weights_asked_for(
    tmp_path: Path, weights: str, begins: list[int | None]
) -> None:
    final = {"top": 2, "epochs": 3, "seeds": 1, "weights": weights}
    state = run(tmp_path, plan(final=final)).state
    finals = [r.candidate for r in state.records.values() if r.candidate.phase == "final"]
    assert [each.inherit_from for each in finals] == begins
    assert all(each.epochs == 3 for each in finals)


def test_probes_are_spread_over_the_ranking_of_random_networks(tmp_path: Path) -> None:
    state = run(tmp_path, plan()).state
    ranking = [record.id for record in state.ranking("sample")]
    probes = [r.candidate for r in state.records.values() if r.candidate.phase == "probe"]
    probed = [each.parents[0] for each in probes]
    assert [ranking.index(number) * PROBES // SAMPLES for number in probed] == list(range(PROBES))


def test_probes_are_trained_one_at_a_time_beside_the_search(tmp_path: Path) -> None:
    with opened(tmp_path, plan(candidates=40)) as driver:
        slots = Slots(driver, 3, Random(1), metrics=faithful)
        most = 0
        while slots.step():
            busy = [r.candidate.phase for r in driver.state.pending.values()]
            if driver.state.searched < 40:
                most = max(most, busy.count("probe"))
        assert most == 1
        first = phases(driver).index("probe")
        assert phases(driver)[first + 1] == "search"


def test_the_rank_correlation_is_told_with_each_probe(tmp_path: Path) -> None:
    run(tmp_path, plan())
    ranked = [event for event in journal(tmp_path) if isinstance(event, events.Ranked)]
    assert [(each.probes, each.verdict) for each in ranked] == [
        (1, ""), (2, ""), (3, ""), (4, "measured"),
    ]  # fmt: skip
    assert ranked[-1].kendall_tau == 1.0


@pytest.mark.parametrize(("told", "verdict"), [("warn", "warned"), ("stop", "stopped")])
def test_scores_that_mislead_are_noticed(tmp_path: Path, told: str, verdict: str) -> None:
    final = {"top": 2, "epochs": 3, "seeds": 2}
    config = plan(final=final, rank_floor=0.5, on_low_rank=told)
    driver = run(tmp_path, config, misleading)
    assert driver.state.ranked is not None
    assert driver.state.ranked.verdict == verdict
    if told == "stop":
        assert "below the rank_floor of 0.5" in driver.end_reason
        assert not driver.state.proposed["final"]
    else:
        assert driver.state.proposed["final"] == 4


def test_a_switch_trains_candidates_on_their_own_from_the_best_scored_on(tmp_path: Path) -> None:
    config = plan(candidates=12, rank_floor=0.5, on_low_rank="switch")
    state = run(tmp_path, config, misleading).state
    searched = [r.candidate for r in state.records.values() if r.candidate.phase == "search"]
    scored = [each for each in searched if each.is_scored]
    alone = [each for each in searched if not each.is_scored]
    assert searched == scored + alone
    assert len(alone) == state.searched == 12
    assert alone[0].operator == "prime"
    samples = [record.candidate for record in state.ranking("sample")]
    assert alone[0].architecture in [each.architecture for each in (*samples, *scored)]
    assert [r.candidate for r in state.ranking("search")[:12]] == sorted(
        alone, key=lambda each: -each.architecture["x"]
    )


def test_a_supernet_that_fails_ends_the_study_with_its_reason(tmp_path: Path) -> None:
    with opened(tmp_path, plan()) as driver:
        Slots(driver, 1, Random(1), fails=1.0, metrics=faithful).run()
        assert driver.finished
        assert driver.end_reason == "the shared weights could not be trained: bad luck"
        assert phases(driver) == ["supernet"]


def test_no_probes_no_samples(tmp_path: Path) -> None:
    state = run(tmp_path, plan(probes=0)).state
    assert state.proposed == {"supernet": 1, "search": 12}
    assert state.ranked is None


def test_a_network_that_was_scored_with_these_weights_is_not_scored_again(tmp_path: Path) -> None:
    with opened(tmp_path, plan(candidates=30), repeats=True) as driver:
        slots = Slots(driver, 1, Random(1), metrics=faithful)
        slots.run()
        keys: dict[str, list[int]] = {}
        for record in driver.state.records.values():
            if record.candidate.is_scored:
                keys.setdefault(record.candidate.architecture.key, []).append(record.id)
        again = [number for ids in keys.values() for number in ids[1:]]
        assert again
        assert not {*again} & {*slots.trained}
        for ids in keys.values():
            metrics = [driver.state.records[number].metrics for number in ids]
            assert all(each == metrics[0] for each in metrics)


@pytest.mark.parametrize("told", ["warn", "switch"])
@pytest.mark.parametrize("window", [None, 3])
def test_a_driver_that_dies_anywhere_is_taken_over_where_it_was(
    tmp_path: Path, told: str, window: int | None
) -> None:
    final = {"top": 2, "epochs": 3, "seeds": 1, "weights": "both"}
    config = plan(final=final, rank_floor=0.5, on_low_rank=told)
    for attempt in range(60):
        with opened(tmp_path, config, window=window) as driver:
            slots = Slots(driver, 3, Random(attempt), metrics=misleading)
            for _ in range(9):
                slots.step()
            if driver.finished:
                driver.flush()
                break
    assert driver.finished
    ends = [e.candidate_id for e in journal(tmp_path) if isinstance(e, events.Completed)]
    assert sorted(ends) == [*driver.state.records]
    counts = dict(driver.state.proposed)
    counts.pop("search")
    assert counts == {"supernet": 1, "sample": SAMPLES, "probe": PROBES, "final": 4}
    assert driver.state.searched == 12


def test_strict_order_gives_the_same_journal_on_any_number_of_slots(tmp_path: Path) -> None:
    config = plan(final={"top": 1, "epochs": 3, "seeds": 1}, rank_floor=0.5, on_low_rank="switch")
    found = []
    for slots in (1, 4):
        folder = tmp_path / str(slots)
        with opened(folder, config, window=3) as driver:
            Slots(driver, slots, Random(slots), metrics=misleading).run()
        assert driver.finished
        found.append(without_times(journal(folder)))
    assert found[0] == found[1]


def test_classic_studies_know_nothing_of_it(tmp_path: Path) -> None:
    config = StudyConfig.build(
        name="s", task="t:t", objectives=CREATED.config["objectives"], budget={"candidates": 5}
    )
    state = run(tmp_path, config, trained).state
    assert state.proposed == {"search": 5}
    assert all(r.candidate.inherit_from is None for r in state.records.values())
