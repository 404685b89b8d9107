from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from phylon.search import Evaluator, SearchSpace
from phylon.search.errors import ConfigurationError
from phylon.trainables import ImageTask, Task, load_space, load_task

MODULE = """
from phylon.search import Choice, SearchSpace
from phylon.trainables import Task

class Mine(Task):
    metrics = ("val_loss",)
    def __init__(self, size=1):
        self.size = size
    def build(self, architecture): ...
    def datamodule(self, seed, batch_size): ...

class Table:
    metrics = ("score",)
    def evaluate(self, candidate, context): ...

def needs(path): return Mine(path)

mine = Mine(7)
number = 3
space = SearchSpace(width=Choice(1, 2))
"""


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current directory, under a name no other test has imported."""
    name = f"user_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def test_built_in_tasks_are_found_by_name(tmp_path: Path) -> None:
    assert isinstance(load_task("digits"), ImageTask)
    np.savez(tmp_path / "mine.npz", x=np.zeros((6, 4, 4)), y=[0, 1] * 3)
    task = load_task({"name": "images", "path": str(tmp_path / "mine.npz")})
    assert isinstance(task, ImageTask)
    assert task.dataset.side == 4


def test_own_objects_classes_and_functions_are_found_in_the_current_directory(
    user_module: str,
) -> None:
    assert load_task(f"{user_module}:mine").size == 7
    assert isinstance(load_task(f"{user_module}:Mine"), Task)
    assert load_task({"name": f"{user_module}:Mine", "size": 3}).size == 3
    assert load_task({"name": f"{user_module}:needs", "path": "p"}).size == "p"
    assert isinstance(load_task(f"{user_module}:Table"), Evaluator)
    assert isinstance(load_space(f"{user_module}:space"), SearchSpace)


def test_the_macro_space_is_found_by_name() -> None:
    space = load_space({"name": "macro", "image_size": 8, "kernels": [3], "depth": [1, 2]})
    assert space.sample(np.random.default_rng(0))["stages"][0]["block"]["kernel"] == 3


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("digit", "did you mean `digits`"),
        ({"path": "x"}, "allowed: a name"),
        ("images", "path"),
        ({"name": "images", "pth": "x"}, "did you mean `path`"),
        ({"name": "digits", "path": "x"}, "takes no `path`"),
        ({"name": "images", "path": 5}, "in quotes"),
        ("no_such_package.module:task", "no module `no_such_package`"),
        ("{module}:mine_", "did you mean `mine`"),
        ("{module}:number", "gives a int"),
        ("{module}:space", "gives a SearchSpace"),
        ("{module}:needs", "'path'"),
        ({"name": "{module}:mine", "size": 1}, "takes no size"),
    ],
)
def test_what_cannot_be_a_task_is_refused(
    user_module: str, spec: str | dict[str, object], told: str
) -> None:
    if isinstance(spec, str):
        spec = spec.replace("{module}", user_module)
    else:
        spec = {
            k: v.replace("{module}", user_module) if k == "name" else v for k, v in spec.items()
        }
    with pytest.raises(ConfigurationError, match=told) as caught:
        load_task(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [("import no_such_neighbour", "no_such_neighbour"), ("1 +", "line 1"), ("\n1 / 0", "line 2")],
)
def test_a_module_that_fails_to_import_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    name = f"broken_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ConfigurationError, match=told) as caught:
        load_task(f"{name}:task")
    assert f"{name}.py" in str(caught.value)
