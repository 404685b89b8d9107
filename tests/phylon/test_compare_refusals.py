"""What `phylon compare` does not compare, and what it says then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from phylon import events
from phylon.cli import main
from tests.phylon.compare_story import history, studies, write
from tests.phylon.supernet_story import SupernetStory


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["compare", *arguments]) == 2
    found = capsys.readouterr()
    assert not found.out
    return found.err


def test_studies_that_cannot_stand_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = studies(tmp_path, [[1.0], [2.0]])
    assert "one study was given; name at least two" in refused(capsys, first)
    assert "no studies were given; name at least two" in refused(capsys)
    assert "given twice; name each study once" in refused(capsys, first, second, first + "/")
    copied = str(shutil.copytree(first, tmp_path / "copied"))
    assert f"({copied} is a copy of it)" in refused(capsys, first, copied)
    (tmp_path / "empty").mkdir()
    assert "is no study" in refused(capsys, first, str(tmp_path / "empty"))
    for metric, direction in (("y", "minimize"), ("z", "maximize")):
        goals = [{"metric": metric, "direction": direction}]
        (other,) = studies(tmp_path, [[{"y": 1.0, "z": 1.0}]], name=metric, objectives=goals)
        said = refused(capsys, first, other)
        assert "is to maximize y" in said
        assert f"to {direction} {metric}" in said
    assert "--target is nan; allowed: a finite number" in refused(
        capsys, first, second, "--target", "nan"
    )


def test_scores_with_shared_weights_are_no_trainings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def notes(*places: str) -> tuple[list[str], list[float | None]]:
        assert main(["compare", *places, "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        return data["notes"], [each["best"] and each["best"]["mean"] for each in data["groups"]]

    shared = []
    for name, seed in (("one", 0), ("two", 1)):
        story = SupernetStory(name=name, seed=seed)
        told = [*story.begin(), *story.supernet(), *story.samples(), *story.search()]
        told[0] = type(told[0]).from_json({**told[0].to_json(), "uid": name})
        shared.append(
            write(tmp_path / name, [*told, events.Finished(time=story.now(), reason="done")])
        )
    goals = [{"metric": "val_accuracy", "direction": "maximize"}]
    trained = history([{"val_accuracy": 0.05}], name="trained", objectives=goals)
    said, bests = notes(shared[0], write(tmp_path / "trained", trained))
    assert any("Study one only scored its candidates with shared weights" in each for each in said)
    assert bests == [None, 0.05]
    said, bests = notes(*shared)
    assert said == ["All values are scores with shared weights: nothing was trained on its own."]
    assert bests == [pytest.approx(0.11)]


def test_what_was_stopped_early_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields = [{"epochs": 1}, {"epochs": 3, "continues": 0, "operator": "promote", "parents": (0,)}]
    halved = write(tmp_path / "halved", history([0.9, 0.8], name="halved", fields=fields))
    (plain,) = studies(tmp_path, [[0.7, 0.6]], strategy="surrogate")
    assert main(["compare", halved, plain]) == 0
    assert "Some candidates were stopped early" in capsys.readouterr().out
