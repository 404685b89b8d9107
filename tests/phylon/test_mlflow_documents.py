"""The files that a person reads in MLflow: the study file, and the space in words."""

from pathlib import Path

import pytest

from phylon import SearchSpace, events
from phylon.config_file import load_config
from phylon.environment import machine, revision
from phylon.mlflow_documents import space_in_words, study_file
from phylon.search import Block, Choice, Integer, Repeat
from phylon.search.cell import Cell

OPERATION = Choice(plain=Block(), conv=Block(k=Integer(1, 5)))
SPACE = SearchSpace(
    act=Choice("relu", "gelu"),
    stages=Repeat(Block(width=Integer(8, 64, step=8), op=OPERATION), 1, 2),
    cell=Cell(3, ("none", "conv")),
)


def created(config: dict[str, object], space: dict[str, object]) -> events.Created:
    return events.Created(uid="u", config=config, space=space, metrics=["loss"])


@pytest.mark.parametrize("name", ["digits", "enas_digits"])
def test_study_file_is_short_and_says_the_same(name: str, tmp_path: Path) -> None:
    config = load_config(Path("examples") / f"{name}.yaml")
    text = study_file(created(config.to_json(), {}))
    assert "task: digits\n" in text
    assert "order:" not in text  # a default
    (tmp_path / "study.yaml").write_text(text)
    assert load_config(tmp_path / "study.yaml") == config


def test_space_is_told_as_a_tree() -> None:
    assert space_in_words(created({}, SPACE.to_json())).splitlines() == [
        f"{SPACE.size:,} architectures, {SPACE.width} decisions at most",
        "",
        "act: one of 'relu', 'gelu'",
        "cell: a cell of 3 nodes with none, conv on its edges",
        "stages: a list of 1 to 2 items",
        "  each:",
        "    op: a branch of type conv, plain",
        "      conv:",
        "        k: an integer from 1 to 5",
        "      plain:",
        "    width: an integer from 8 to 64 in steps of 8",
    ]


def test_study_of_another_version_is_told_as_it_is() -> None:
    other = created({"name": "x", "mood": "good"}, {"width": {"kind": "quantum"}})
    assert study_file(other) == "name: x\nmood: good\n"
    assert space_in_words(other) == "width:\n  kind: quantum\n"


def test_revision_is_that_of_the_users_folder(tmp_path: Path) -> None:
    import subprocess

    assert revision(tmp_path) == {}

    def git(*words: str) -> None:
        settings = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *settings, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    assert revision(tmp_path) == {}
    (tmp_path / "task.py").write_text("x = 1")
    git("add", ".")
    git("commit", "-m", "x")
    found = revision(tmp_path)
    assert (len(found["commit"]), found["modified"]) == (40, False)
    (tmp_path / "task.py").write_text("x = 2")
    assert revision(tmp_path) == {"commit": found["commit"], "modified": True}


def test_machine_is_told() -> None:
    told = machine()
    assert told["cpu"]
    assert told["cores"] >= 1
    assert told["memory"] > 2**20
    assert all(told["gpus"])
