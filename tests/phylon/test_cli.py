"""The command line: what it prints, what it exits with, and what it leaves alone."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from phylon import events
from phylon.cli import main
from phylon.cluster.connect import ray_cluster
from phylon.config import StudyConfig
from phylon.journal import JournalWriter
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate

STUDY = """\
name: tiny
task: toys:bowl
space: toys:space
strategy: {name: random}
objectives: [{metric: score, direction: maximize}]
budget: {candidates: 4}
resources: {cpus: 0.5}
tracking: {uri: none}
"""
TOYS = """\
from phylon.search import Candidate, Context, Integer, Measurement, SearchSpace

space = SearchSpace(width=Integer(1, 1000))


class Bowl:
    metrics = ("score",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        score = -abs(candidate.architecture["width"] - 500.0)
        context.report(Measurement(step=1, metrics={"score": score}, seconds=0.0))


class Broken:
    metrics = ("score",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        raise ValueError("this toy is broken")


bowl, broken = Bowl(), Broken()
"""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a study file and the module it names, and a Ray that finds it."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "study.yaml").write_text(STUDY)
    (folder / "toys.py").write_text(TOYS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.setenv("COLUMNS", "120")
        with ray_cluster():
            yield folder


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


# --- before any study


def test_help_and_import_are_light() -> None:
    heavy = "{'torch', 'ray', 'mlflow', 'pyarrow', 'pydantic', 'numpy', 'rich'} & set(sys.modules)"
    script = f"import sys, phylon; from phylon.cli import main; main(['--help']); print({heavy})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"
    for command in ("run", "resume", "show", "lineage", "list", "ui", "init"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize(
    "arguments", [["shw"], ["run"], ["run", "x.yaml", "--fast"], ["show"], ["ui", "--port", "0"]]
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "Error: " in capsys.readouterr().err


def test_init_writes_a_file_that_runs_and_never_overwrites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    assert main(["init", str(file)]) == 0
    text = file.read_text()
    assert "candidates: 30" in text
    file.write_text("mine")
    assert main(["init", str(file)]) == 2
    assert file.read_text() == "mine"
    assert "exists; name another file" in capsys.readouterr().err
    assert main(["init", str(tmp_path / "no" / "folder.yaml")]) == 2


def test_a_faulty_study_file_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(STUDY)
    assert main(["run", "study.yaml", "--set", "budget.candidates=0", "--set", "oder=free"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        "error: --set budget.candidates=0: budget.candidates is 0; it must be greater than 0"
    )
    assert second.startswith("error: --set oder=free: unknown key `oder`; did you mean `order`?")
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


@pytest.mark.parametrize("command", ["show", "resume", "lineage"])
def test_a_folder_that_is_no_study(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert "is no study" in told
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="is no study"):
        main(["--debug", "show", str(tmp_path)])


# --- looking at a study


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
            "metrics": {"val_accuracy": 0.75},
            "architecture": {"width": 9, "stages": [{"depth": 1}]},
        },
        "test": {"test_accuracy": {"mean": 0.7, "std": 0.0, "values": [0.7]}},
        "objectives": [{"metric": "val_accuracy", "direction": "maximize"}],
        "seconds": 6.0,
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
    interrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (segment,) = (interrupted / "journal").glob("*.jsonl")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    assert main(["show", str(interrupted)]) == 3
    assert "damaged at byte" in capsys.readouterr().err
    assert segment.read_bytes() == content
    assert main(["list", str(interrupted.parent)]) == 0
    assert "unreadable" in capsys.readouterr().out


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


# --- running a study


@pytest.mark.usefixtures("workshop")
def test_run_then_refuse_then_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "study.yaml"]) == 0
    told = capsys.readouterr()
    assert "search 4/4 done" in told.err
    assert "tiny  finished, 4 completed, 0 failed, 0 open" in told.out

    assert main(["run", "study.yaml"]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert "--resume" in told.err

    for again in (["run", "study.yaml", "--resume"], ["resume", "studies/tiny"]):
        assert main(again) == 0
        assert "tiny  finished, 4 completed" in capsys.readouterr().out


@pytest.mark.usefixtures("workshop")
def test_a_study_whose_candidates_all_fail_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "study.yaml", "--set", "name=broken", "--set", "task=toys:broken"]) == 3
    told = capsys.readouterr()
    assert "4 x ValueError: this toy is broken" in told.out
    assert "error: the study failed: no candidate completed" in told.err


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("strategy.name=randm", "unknown strategy `randm`; did you mean `random`?"),
        ("task=digit", "unknown task `digit`; did you mean `digits`?"),
        ("objectives.0.metric=scor", "does not report `scor`; did you mean `score`?"),
        ("task=toys:ball", "`toys` has no `ball`"),
        ("resources.gpus=0.3", "nearest 0.25 (1/4) and 0.3333 (1/3)"),
        ("resources.cpus=10000", "ask for less"),
    ],
)
def test_what_the_task_or_the_cluster_refuses_has_a_place_too(
    override: str, complaint: str, workshop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "study.yaml", "--set", "name=never", "--set", override]) == 2
    told = capsys.readouterr().err
    key = re.split("[.=]", override)[0]
    places = (f"error: --set {override}: {key}", rf"error: study\.yaml, line \d: {key}: ")
    assert re.search("|".join(places), told)
    assert complaint in told
    assert not (workshop / "studies" / "never").exists()
