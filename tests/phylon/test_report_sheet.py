"""The reproducibility sheet: what the journal knows is there, and what it does not know is said."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from phylon import Choice, SearchSpace, events
from phylon.config_file import load_config
from phylon.history import History, read_history
from phylon.report_sheet import sheet_section
from tests.phylon.big_study import big_study
from tests.phylon.hostile_study import HOSTILE, hostile_study


def text_of(history: History) -> str:
    return "\n".join(str(part) for part in sheet_section(history).parts)


def answers(history: History) -> dict[str, str]:
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td></tr>", text_of(history), re.DOTALL)
    return {item: unescape(told) for item, told in rows}


def test_a_study_fills_the_sheet(tmp_path: Path) -> None:
    history = read_history(big_study(tmp_path, 60))
    told = answers(history)
    state = history.state
    assert "torch 2.9.1" in told["versions"]
    assert "digest 0123456789abcdef" in told["data"]
    assert told["objectives"] == "maximize val_accuracy"
    assert "macs at most" in told["constraints"]
    assert told["training in the search"].startswith("epochs 8")
    assert "top 3, seeds 2" in told["final training"]
    assert told["evaluations"].startswith(f"{state.completed} completed (search: ")
    assert told["failures"].startswith(str(state.failed))
    hours = sum(r.seconds * 0.5 for r in state.records.values()) / 3600
    assert told["computing"].startswith(f"{hours:.5g} CPU hours")
    assert told["the best network"].startswith("20 epochs, ")
    assert told["test split"] == "not met by any network of this study"
    finals = [item for item in told if item.endswith("trained again")]
    assert len(finals) == 3
    assert all("2 trainings of 20 epochs" in told[item] for item in finals)


def test_the_test_split_was_met_once_by_the_winner(tmp_path: Path) -> None:
    history = read_history(big_study(tmp_path, 20))
    winners = [record.id for record in history.state.winners()]
    tested = events.Tested(candidate_ids=winners, metrics={"test_acc": [0.5, 0.7]})
    history.state.apply(tested)
    told = answers(replace(history, tests=[tested]))["test split"]
    assert told.startswith("met once, when all was decided, by 2 trainings of the winner: ")
    assert "test_acc 0.6000 ± 0.1414" in told


def test_the_test_split_that_was_met_by_several_winners_is_told_of(tmp_path: Path) -> None:
    history = read_history(big_study(tmp_path, 20))
    earlier = events.Tested(candidate_ids=[0], metrics={"test_acc": [0.4]})
    told = answers(replace(history, tests=[earlier]))["test split"]
    assert told == "met by an earlier winner of this study, which went on since"
    winners = [record.id for record in history.state.winners()]
    later = events.Tested(candidate_ids=winners, metrics={"test_acc": [0.5, 0.7]})
    history.state.apply(later)
    told = answers(replace(history, tests=[earlier, later]))["test split"]
    assert told.startswith("met 2 times, as the study went on after its end; the last time by 2 ")


def test_networks_that_were_measured_twice_are_counted(tmp_path: Path) -> None:
    history = read_history(big_study(tmp_path, 20))
    done = [r for r in history.state.records.values() if r.state == "completed"]
    searched = [r for r in done if r.candidate.phase == "search"]
    one = searched[0].candidate
    for record in searched:
        record.candidate = replace(record.candidate, architecture=one.architecture)
    told = answers(history)["duplicates"]
    assert told.startswith(f"{len(searched) - 1} of {len(searched)} repeat")


def test_what_is_not_recorded_is_left_to_the_author(tmp_path: Path) -> None:
    history = read_history(big_study(tmp_path, 8))
    before = answers(history)
    for item in ("code of task and space", "hardware", "tuning of the search itself"):
        assert before[item].startswith("<strong>Left to you:</strong> say")
    machine = {"cpu": "A chip", "cores": 4, "memory": 8 * 2**30, "gpus": ["G", "G"]}
    revision = {"commit": "abc123", "modified": True}
    (driver,) = history.drivers
    known = replace(driver, machine=machine, revision=revision)
    told = answers(replace(history, drivers=[known]))
    assert told["hardware"].startswith("A chip, 4 cores, 8 GiB, 2 x G")
    assert (
        told["code of task and space"] == "git commit abc123, with changes that were not committed"
    )
    later = replace(known, versions={"torch": "9"}, revision={"commit": "def", "modified": False})
    both = answers(replace(history, drivers=[known, later]))
    assert both["versions"].endswith("; later: torch 9")
    assert both["code of task and space"].endswith("; later: git commit def")


def test_the_study_file_makes_the_same_study_and_holds_no_password(tmp_path: Path) -> None:
    history = read_history(big_study(tmp_path, 8))
    tracking = {"uri": "postgresql://me:secret@db/mlflow", "register": None}
    config = {**history.created.config, "tracking": tracking}
    history = replace(history, created=replace(history.created, config=config))
    text = text_of(history)
    assert "secret" not in text
    found = re.search(r"run it again</summary><pre>(.*?)</pre>", text, re.DOTALL)
    assert found
    file = tmp_path / "again.yaml"
    file.write_text(unescape(found[1]))
    again = load_config(file).to_json()
    expected = {**config, "tracking": {**tracking, "uri": "postgresql://db/mlflow"}}
    assert again == expected


@pytest.mark.parametrize(
    ("decisions", "told"), [(5, "100,000 architectures"), (400, "about 10^400 architectures")]
)
def test_spaces_of_any_size_are_told(tmp_path: Path, decisions: int, told: str) -> None:
    history = read_history(big_study(tmp_path, 2))
    space = SearchSpace(**{f"d{n}": Choice(*range(10)) for n in range(decisions)})
    created = replace(history.created, space=space.to_json())
    empty = History(history.location, type(history.state)([created]), {}, [], [], created)
    assert answers(empty)["search space"].startswith(told)


def test_hostile_names_are_escaped_and_nothing_completed_is_no_matter(tmp_path: Path) -> None:
    text = text_of(read_history(hostile_study(tmp_path)))
    assert HOSTILE not in text
    assert "<script>" not in text
    history = read_history(big_study(tmp_path, 8))
    config = history.created.config
    fresh = events.Created(uid="u", config=config, space=history.created.space, metrics=[])
    empty = type(history.state)([fresh])
    told = answers(History(history.location, empty, {}, [], [], fresh))
    assert told["evaluations"] == "none completed"
    assert told["end"] == "not reached yet"
