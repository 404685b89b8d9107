"""Looking at a study from the command line: show, list and lineage."""

import json
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from phylon import events
from phylon.cli import main
from phylon.config import StudyConfig
from phylon.journal import JournalWriter
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate


def written(folder: Path, history: list[events.Event]) -> Path:
    """Write a study's journal the way a driver would have."""
    config = StudyConfig.build(
        name=folder.name,
        task="digits",
        objectives=[{"metric": "val_accuracy", "direction": "maximize"}],
        budget={"candidates": 3},
        storage=str(folder.parent),
    )
    created = events.Created(
        uid="u", config=config.to_json(), space={}, metrics=["val_accuracy"], time=1.0
    )
    budget = {"candidates": 3, "hours": None}
    opened = events.Opened(host="h", pid=1, versions={}, budget=budget, time=1.0)
    folder.mkdir(parents=True)
    writer = JournalWriter(fs.LocalFileSystem(), str(folder / "journal"))
    writer.append(created, opened, *history)
    writer.close()
    return folder


def proposed(number: int, **fields: Any) -> events.Proposed:
    architecture = Architecture({"width": 8 + number, "stages": [{"depth": 1}]})
    return events.Proposed(candidate=Candidate(number, architecture, **fields), time=2.0)


HISTORY: list[events.Event] = [
    proposed(0),
    proposed(1, parents=(0,), operator="mutate", generation=1),
    proposed(2),
    events.Completed(candidate_id=0, metrics={"val_accuracy": 0.5}, seconds=1.0, time=3.0),
    events.Completed(candidate_id=1, metrics={"val_accuracy": 0.75}, seconds=1.0, time=4.0),
]
END: list[events.Event] = [
    events.Failed(candidate_id=2, reason="out of memory", time=5.0),
    events.Tested(candidate_ids=[1], metrics={"test_accuracy": [0.7]}, time=6.0),
    events.Finished(reason="done", time=7.0),
]


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    return written(tmp_path / "studies" / "halfway", HISTORY)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    return written(tmp_path / "studies" / "done", HISTORY + END)


def test_show_as_json(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(finished), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "study": "done",
        "folder": str(finished),
        "state": "finished",
        "candidates": {"completed": 2, "failed": 1, "pending": 0},
        "best": {
            "id": 1,
            "is_scored": False,
            "metrics": {"val_accuracy": 0.75},
            "violation": 0.0,
            "architecture": {"width": 9, "stages": [{"depth": 1}]},
            "note": "",
            "line_of_weights": [1],
            "cost": {"cpu_seconds": 0.0, "gpu_seconds": 0.0, "epochs": 0, "joules": None},
        },
        "final": [],
        "test": {"test_accuracy": {"mean": 0.7, "std": 0.0, "values": [0.7]}},
        "rank_correlation": None,
        "objectives": [{"metric": "val_accuracy", "direction": "maximize"}],
        "constraints": [],
        "seconds": 6.0,
        "spent": {"candidates": 3, "epochs": 3, "hours": 6 / 3600, "gpu_hours": 0.0},
        "budget": {"candidates": 3, "hours": None},
    }


def test_show_before_the_first_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path / "young", HISTORY[:1])
    assert main(["show", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["best"], told["test"], told["candidates"]["pending"]) == (None, None, 1)
    assert main(["show", str(folder)]) == 0
    assert "No candidate has completed yet" in capsys.readouterr().out


def test_show_tells_the_state_and_what_to_type(
    interrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(interrupted)]) == 0
    told = capsys.readouterr().out
    assert "halfway  interrupted, 2 completed, 0 failed, 1 open" in told
    assert "phylon resume" in told


def test_a_damaged_journal_is_refused_and_left_alone(
    interrupted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (segment,) = (interrupted / "journal").glob("*.jsonl")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    assert main(["show", str(interrupted)]) == 3
    assert "damaged at byte" in capsys.readouterr().err
    assert segment.read_bytes() == content
    assert main(["list", str(interrupted.parent)]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "halfway" in line)
    assert row.split() == ["halfway", "unreadable"]


def test_lineage_as_json_and_parquet(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow.parquet

    target = finished.parent / "lineage.parquet"
    assert main(["lineage", str(finished), "--json", "--export", str(target)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == [0, 1, 2]
    keys = "id phase parents operator generation state metrics key mlflow_run_id"
    assert all(set(keys.split()) <= set(row) for row in rows)
    assert (rows[1]["parents"], rows[1]["operator"], rows[1]["state"]) == (
        [0],
        "mutate",
        "completed",
    )
    assert pyarrow.parquet.read_table(target).num_rows == 3


def test_lineage_for_people(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lineage", str(finished)]) == 0
    assert "mutate of 0" in capsys.readouterr().out


@pytest.mark.usefixtures("interrupted")
def test_list_shows_each_study_of_a_storage(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (finished.parent / "something-else").mkdir()
    assert main(["list", str(finished.parent)]) == 0
    told = capsys.readouterr().out
    assert "done" in told
    assert "halfway" in told
    assert "something-else" not in told
    assert main(["list", str(finished.parent / "nowhere")]) == 2
