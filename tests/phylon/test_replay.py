"""A candidate is rebuilt along its line of weights, to the last bit, and what is not is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pyarrow import fs

from phylon import Study, Task, events
from phylon.cli import main
from phylon.config import StudyConfig
from phylon.costs import line_of_weights, share_of
from phylon.errors import EvaluationError
from phylon.journal import JournalWriter
from phylon.record import Record
from phylon.replay import Replay
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate
from tests.phylon.own_heirs import HeirsTask, Rated
from tests.phylon.toy import SPACE, run


def small_study(storage: Path, task: Task) -> Study:
    return Study(
        name="heirs",
        task=task,
        objectives=[{"metric": "val_loss", "direction": "minimize"}],
        strategy={"name": "regularized_evolution", "population": 4, "sample": 3, "inherit": True},
        budget={"candidates": 14},
        training={"epochs": 2, "batch_size": 16},
        tracking={"uri": "none"},
        storage=str(storage),
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = small_study(tmp_path_factory.mktemp("replay"), HeirsTask())
    run(study)
    return study


def line_of_best(study: Study) -> list[Record]:
    """Return the line of the candidate whose weights are kept."""
    state = study.state()
    assert state.best is not None
    return line_of_weights(state.records, state.best.id)


def test_a_line_of_inherited_steps_is_rebuilt_to_the_last_bit(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    line = line_of_best(study)
    assert len(line) > 3
    assert line[0].candidate.inherit_from is None
    assert all(share_of(record) for record in line[1:])
    before = files(study)
    assert main(["replay", str(study.folder), "--candidate", str(line[-1].id), "--json"]) == 0
    out, told = capsys.readouterr()
    done = json.loads(out)
    assert [step["id"] for step in done["steps"]] == [record.id for record in line]
    assert [step["recorded"] for step in done["steps"]] == [record.metrics for record in line]
    assert [step["replayed"] for step in done["steps"]] == [record.metrics for record in line]
    assert (done["metrics"], done["weights"], done["weights_kept"]) == (0.0, 0.0, True)
    assert (done["is_same"], done["unlike"]) == (True, [])
    assert f"replaying {len(line)} candidates, which cost {2 * len(line)} epochs" in told
    assert files(study) == before


def files(study: Study) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in study.folder.rglob("*")}


class Forgetful(HeirsTask):
    """Cannot tell for a while what came from where: as long as a population lives."""

    def __init__(self) -> None:
        self.asked = 0

    def kinship(self, *_: Architecture) -> None:
        self.asked += 1
        if 3 < self.asked <= 8:
            raise EvaluationError("out of reach")


def test_what_began_afresh_begins_afresh_again(tmp_path: Path) -> None:
    study = small_study(tmp_path, Forgetful())
    run(study)
    records = study.state().records
    lines = [line_of_weights(records, number) for number in records]
    line = max((each for each in lines if each[0].candidate.parents), key=len)
    assert len(line) > 1
    assert line[0].note == "began with random weights: out of reach"
    assert [bool(share_of(record)) for record in line] == [False] + [True] * (len(line) - 1)
    done = Replay(study, line[-1].id).run(lambda _: None)
    assert [step.record.id for step in done.steps] == [record.id for record in line]
    assert (done.metrics, done.is_same) == (0.0, True)


def test_a_difference_is_told(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = line_of_best(study)
    monkeypatch.setattr(Rated, "slope", 0.5)  # the task was edited since
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["replay", str(study.folder), "--candidate", str(line[-1].id)]) == 1
    out, _ = capsys.readouterr()
    assert f"Replay of candidate {line[-1].id}" in out
    assert f"mutate of {line[0].id}" in out
    told = [each.split() for each in out.splitlines() if each.startswith("largest difference")]
    assert [words[-2] for words in told] == ["metrics:", "weights:"]
    assert all(float(words[-1]) > 0 for words in told)
    assert "the task may have changed" in out


def written(folder: Path, task: str | dict[str, Any] = "tests.phylon.toy:Toy") -> Path:
    """Write the journal of a study whose driver had another torch; Toy gives y = 2x, z = -y."""
    config = StudyConfig.build(
        name=folder.name,
        task=task,
        space="tests.phylon.toy:SPACE",
        objectives=[{"metric": "y", "direction": "maximize"}],
        budget={"candidates": 3},
        storage=str(folder.parent),
    )
    space, metrics = SPACE.to_json(), ["y", "z"]
    happened: list[events.Event] = [
        events.Created(uid="u", config=config.to_json(), space=space, metrics=metrics),
        events.Opened(host="h", pid=1, versions={"torch": "0.0.1", "mine": "1"}, budget={}),
        *(events.Proposed(candidate=candidate(number)) for number in range(4)),
        events.Proposed(candidate=candidate(4, epochs=0, inherit_from=3)),
        events.Completed(candidate_id=0, metrics={"y": 1.0, "z": -1.0}, seconds=1.0),
        events.Completed(candidate_id=1, metrics={"y": 1.25, "z": -1.0}, seconds=1.0),
        events.Failed(candidate_id=2, reason="no luck\nat all"),
        events.Completed(candidate_id=3, metrics={"y": 1.0, "z": -1.0}, seconds=1.0),
        events.Completed(candidate_id=4, metrics={"y": 1.0, "z": -1.0}, seconds=1.0),
        events.Proposed(candidate=candidate(5)),
    ]
    folder.mkdir()
    writer = JournalWriter(fs.LocalFileSystem(), str(folder / "journal"))
    writer.append(*happened)
    writer.close()
    return folder


def candidate(number: int, **fields: Any) -> Candidate:
    phase = "supernet" if number == 3 else "search"
    return Candidate(number, Architecture({"x": 0.5, "kind": "a"}), phase=phase, **fields)


def test_an_evaluator_of_ones_own_is_asked_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written(tmp_path / "own")
    assert main(["replay", str(folder), "--candidate", "0"]) == 0
    out, _ = capsys.readouterr()
    assert "largest difference of all metrics: 0\n" in out
    assert "weights: not compared, the study does not keep them" in out
    assert "torch" not in out
    assert main(["replay", str(folder), "--candidate", "1"]) == 1
    out, _ = capsys.readouterr()
    assert "largest difference of all metrics: 0.25\n" in out
    assert f"torch: 0.0.1, now {torch.__version__}" in out


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("9", "candidate 9 is not in the study; the nearest are 3, 4, 5"),
        ("5", "candidate 5 is not at its end, so there is nothing to compare a replay with"),
        ("2", "candidate 2 failed (no luck), so there is nothing to compare a replay with"),
        ("3", "candidate 3 begins with weights that all candidates share"),
        ("4", "candidate 4 begins with weights that all candidates share"),
    ],
)
def test_what_cannot_be_replayed_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: str, words: str
) -> None:
    folder = written(tmp_path / "own")
    assert main(["replay", str(folder), "--candidate", number]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert words in error


def test_a_task_from_a_script_is_not_to_be_had_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written(tmp_path / "own", "__main__:Toy")
    assert main(["replay", str(folder), "--candidate", "0"]) == 2
    assert "phylon.replay.Replay(Study(...), 0)" in capsys.readouterr().err


def test_a_candidate_that_fails_now_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written(tmp_path / "own", {"name": "tests.phylon.toy:Toy", "fails": True})
    assert main(["replay", str(folder), "--candidate", "0"]) == 3
    assert "candidate 0 fails in the replay: RuntimeError: no luck" in capsys.readouterr().err
