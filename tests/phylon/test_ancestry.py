"""Where a candidate comes from, and what each step of the way gained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from phylon import events
from phylon.ancestry import ancestry_rows, candidate_of, line_of_descent
from phylon.cli import main
from phylon.cluster.location import Location
from phylon.errors import ConfigurationError
from phylon.history import read_history
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate
from phylon.state import StudyState
from tests.phylon.big_study import big_study


def family(direction: str = "maximize") -> StudyState:
    """0 and 1 are random, 2 a mutant of 1, 3 of both 2 and 0, 4 failed, 5 was trained longer."""
    objectives = [{"metric": "y", "direction": direction}]
    history: list[events.Event] = [
        events.Created(uid="uid", config={"objectives": objectives}, space={}, metrics=["y"])
    ]
    born = [
        Candidate(0, Architecture({"x": 0})),
        Candidate(1, Architecture({"x": 1})),
        Candidate(2, Architecture({"x": 2}), (1,), "mutate", 1),
        Candidate(3, Architecture({"x": 3}), (2, 0), "crossover", 2),
        Candidate(4, Architecture({"x": 4}), (3,), "mutate", 3),
        Candidate(5, Architecture({"x": 3}), (3,), "retrain", 3, "final", epochs=9),
        Candidate(6, Architecture({"x": 6}), (4,), "mutate", 4),
    ]
    history += [events.Proposed(candidate=candidate) for candidate in born]
    history += [
        events.Completed(candidate_id=n, metrics={"y": y}, seconds=1.0)
        for n, y in {0: 0.9, 1: 0.5, 2: 0.75, 3: 0.625, 5: 0.875, 6: 0.5}.items()
    ]
    history.append(events.Failed(candidate_id=4, reason="no luck", seconds=1.0))
    return StudyState(history)


def test_line_follows_the_first_parents_from_the_first_ancestor() -> None:
    assert [record.id for record in line_of_descent(family(), 5)] == [1, 2, 3, 5]
    assert [record.id for record in line_of_descent(family(), 0)] == [0]


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_gain_is_positive_for_a_child_that_is_better(direction: str, sign: int) -> None:
    rows = ancestry_rows(family(direction), 3, {2: "run-2"})
    assert [row["gain"]["y"] for row in rows] == [None, 0.25 * sign, -0.125 * sign]
    assert [row["parents"] for row in rows] == [[], [1], [2, 0]]
    assert [row["mlflow_run_id"] for row in rows] == [None, "run-2", None]


def test_there_is_no_gain_where_two_cannot_be_compared() -> None:
    longer = ancestry_rows(family(), 5, {})[-1]
    assert (longer["metrics"], longer["gain"]) == ({"y": 0.875}, {"y": None})
    *_, failed, child_of_failed = ancestry_rows(family(), 6, {})
    assert failed["gain"] == child_of_failed["gain"] == {"y": None}


def test_unknown_candidate_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"candidate 9 is not .* nearest are 4, 5, 6$"):
        candidate_of(family(), 9)
    with pytest.raises(ConfigurationError, match=r"has none yet"):
        candidate_of(StudyState(), 0)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = big_study(tmp_path_factory.mktemp("ancestry"), 40).local
    assert found is not None
    return found


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["lineage", *arguments]) == 0
    return capsys.readouterr().out


def test_every_step_on_the_command_line_is_from_a_parent(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everyone = {row["id"]: row for row in json.loads(told(capsys, str(study), "--json"))}
    deepest = max(everyone, key=lambda number: everyone[number]["generation"])
    rows = json.loads(told(capsys, str(study), "--ancestry", str(deepest), "--json"))
    assert rows[0]["parents"] == []
    assert rows[-1]["id"] == deepest
    assert len(rows) > 2
    for parent, row in pairwise(rows):
        assert row["parents"][0] == parent["id"]
        assert {**everyone[row["id"]], "gain": row["gain"]} == row


def steps(text: str) -> Iterator[list[str]]:
    return (line.split() for line in text.splitlines() if line.strip()[:1].isdigit())


def test_line_of_descent_for_people(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    state = read_history(Location(study)).state
    crossed = next(r for r in state.records.values() if len(r.candidate.parents) > 1)
    text = told(capsys, str(study), "--ancestry", str(crossed.id))
    line = [record.id for record in line_of_descent(state, crossed.id)]
    assert [int(words[0]) for words in steps(text)] == line
    first, second = crossed.candidate.parents
    assert f"crossover of {first}, {second}" in text
    assert "val_accuracy ↑" in text


def test_unknown_candidate_on_the_command_line(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lineage", str(study), "--ancestry", "99", "--json"]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error == "error: candidate 99 is not in the study; the nearest are 43, 44, 45\n"
