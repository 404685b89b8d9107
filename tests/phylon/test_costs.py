"""What candidates cost, alone and with all whose training is in their weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from phylon import events
from phylon.ancestry import ancestry_table
from phylon.cluster.executor import Usage
from phylon.cluster.location import Location
from phylon.costs import Costs, LineCosts, line_of_weights
from phylon.leaderboard import overview
from phylon.lineage import lineage_rows, lineage_table
from phylon.mlflow_plan import Projection
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement
from phylon.state import StudyState
from phylon.summary import summarize
from tests.phylon.heirs import AFRESH, Heirs, heirs
from tests.phylon.mlflow_story import note_of
from tests.phylon.slots import journal, opened, plan


def printed(shown: RenderableType) -> str:
    console = Console(width=150)
    with console.capture() as capture:
        console.print(shown)
    return capture.get()


def test_a_line_of_weights_begins_where_weights_were_random() -> None:
    records = heirs().state.records
    lines = [[r.id for r in line_of_weights(records, number)] for number in records]
    assert lines == [[0], [0, 1], [2], [2, 3], [2, 3, 4]]


def test_costs_add_up_along_the_line() -> None:
    records = heirs().state.records
    costs = LineCosts(records)
    assert costs.alone(records[3]) == Costs(4.0, 2.0, 2, 10.0)
    assert costs.line(records[3]) == Costs(8.0, 4.0, 4, 20.0)
    assert costs.line(records[4]) == Costs(12.0, 6.0, 6, None)  # one did not tell of energy


def test_a_training_that_goes_on_counts_each_epoch_once() -> None:
    study = Heirs()
    study.add(epochs=1)
    study.add(epochs=3, parents=(0,), operator="promote", continues=0)
    study.add(1, epochs=1)
    records = study.state.records
    costs = LineCosts(records)
    assert costs.alone(records[1]).epochs == 2
    assert [costs.line(records[n]).epochs for n in (0, 1, 2)] == [1, 3, 4]


LINKS = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("icfr")), max_size=25)


@given(LINKS, st.randoms(use_true_random=False))
def test_a_line_costs_the_sum_of_its_candidates_in_whatever_order_it_is_asked(
    links: Sequence[tuple[int, str]], random: Random
) -> None:
    study = Heirs()
    for choice, kind in links:
        born = len(study.state.records)
        if not born or kind == "r":
            study.add(epochs=choice, joules=1.0)
        elif kind == "c":
            before = choice % born
            epochs = study.state.records[before].epochs + 1
            study.add(epochs=epochs, continues=before, parents=(before,), joules=1.0)
        else:
            study.add(choice % born, share=float(kind == "i"), joules=1.0)
    records = study.state.records
    costs = LineCosts(records)
    asked = list(records.values())
    random.shuffle(asked)
    for record in asked:
        line = line_of_weights(records, record.id)
        assert len({each.id for each in line}) == len(line)
        total = sum((costs.alone(each) for each in line), Costs())
        assert costs.line(record).epochs == total.epochs
        assert costs.line(record).joules == len(line)
        assert costs.line(record).cpu_seconds == pytest.approx(total.cpu_seconds)


def test_lineage_tells_costs_share_and_note() -> None:
    state = heirs().state
    fresh, heir = lineage_rows(state, {})[2:4]
    assert (fresh["inherited_share"], fresh["note"], fresh["line_epochs"]) == (0.0, AFRESH, 2)
    assert (heir["inherit_from"], heir["inherited_share"], heir["note"]) == (2, 0.75, "")
    assert (heir["cpu_seconds"], heir["gpu_seconds"], heir["joules"]) == (4.0, 2.0, 10.0)
    told = (heir["line_epochs"], heir["line_cpu_seconds"], heir["line_gpu_seconds"])
    assert told == (4, 8.0, 4.0)
    table = lineage_table(state, {}).to_pylist()
    names = ("inherited_share", "note", "joules", "cpu_seconds", "line_epochs", "line_gpu_seconds")
    rows = lineage_rows(state, {})
    assert [[row[n] for n in names] for row in table] == [[row[n] for n in names] for row in rows]


def test_ancestry_tells_epochs_in_all_and_why_a_candidate_began_afresh() -> None:
    lines = printed(ancestry_table(heirs().state, 4)).splitlines()
    cells = {line.split()[0]: line.split() for line in lines if line.strip()[:1].isdigit()}
    # ..., y, gain, epochs, epochs in all, inherited share, weights of
    assert cells["1"][-6:] == ["0.6000", "+0.1000", "2", "4", "75%", "0"]
    assert cells["2"][-5:] == ["0.5500", "2", "2", "0%", "1"]  # had less training than its parent
    assert cells["4"][-6:] == ["0.8000", "+0.1000", "2", "6", "75%", "3"]
    assert f"Candidate 2: {AFRESH}" in " ".join(" ".join(lines).split())


def test_ancestry_is_whole_on_a_narrow_terminal() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(ancestry_table(heirs().state, 4))
    rows = [line.split() for line in capture.get().splitlines() if line.strip()[:1].isdigit()]
    assert ["0.8000", "+0.1000", "2", "6", "75%", "3"] in [row[-6:] for row in rows]
    assert "…" not in capture.get()


def test_ancestry_of_a_study_without_inheritance_is_as_short_as_ever() -> None:
    study = Heirs()
    study.add()
    text = printed(ancestry_table(study.state, 0))
    assert "in all" not in text
    assert "inherited" not in text


def test_summary_tells_what_the_best_network_cost(tmp_path: Path) -> None:
    state = heirs().state
    best = summarize(state, Location(tmp_path), "finished")["best"]
    assert best["line_of_weights"] == [2, 3, 4]
    assert best["cost"] == {"cpu_seconds": 12.0, "gpu_seconds": 6.0, "epochs": 6, "joules": None}


def test_show_tells_what_the_best_network_cost(tmp_path: Path) -> None:
    text = printed(overview(heirs().state, Location(tmp_path), "finished"))
    others = "Cost of candidate 4, with 2 others whose training is in its weights"
    assert f"{others}: 6 epochs, 6 GPU seconds, 12 CPU seconds" in text


def test_mlflow_runs_hold_costs_the_true_share_and_the_note() -> None:
    study = heirs()
    plan = Projection().plan(study.history)
    points = {point.key: point.value for point in plan[4].metrics}
    assert points["line_epochs"] == 6
    assert points["line_cpu_seconds"] == 12.0
    assert "joules" not in points
    assert {point.key: point.value for point in plan[3].metrics}["joules"] == 10.0
    assert "line_epochs" not in {point.key for point in plan[2].metrics}
    assert plan[2].birth is not None
    assert "phylon.inherited_share" not in plan[2].birth.tags
    assert [plan[n].tags["phylon.inherited_share"] for n in (2, 3)] == ["0", "0.75"]
    assert "**Note:** began with random weights" in note_of(plan, 2)
    assert "candidate 2" in note_of(plan, 3)
    assert "75% of its parameters" in note_of(plan, 3)


def test_a_journal_from_before_there_were_costs_is_read() -> None:
    old = {"event": "Completed", "time": 1.0, "candidate_id": 0, "metrics": {"y": 1.0}}
    state = Heirs().state
    state.apply(events.Proposed(candidate=Candidate(0, Architecture({"x": 1}))))
    state.apply(events.Event.from_json({**old, "seconds": 2.0}))
    (row,) = lineage_rows(state, {})
    assert (row["joules"], row["inherited_share"], row["note"]) == (None, None, "")
    assert (row["cpu_seconds"], row["line_epochs"]) == (0.0, 0)


def test_energy_of_candidates_is_in_the_journal(tmp_path: Path) -> None:
    with opened(tmp_path, plan(2, seed=1)) as driver:
        for joules in (12.5, None):
            candidate = driver.propose()
            assert candidate is not None
            driver.observe(candidate.id, Measurement(1, {"y": 1.0}, 1.0))
            driver.complete(candidate.id, Usage(2.0, joules=joules))
        driver.flush()
    records = StudyState(journal(tmp_path)).records
    assert [record.joules for record in records.values()] == [12.5, None]
