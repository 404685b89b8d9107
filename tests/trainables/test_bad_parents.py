"""Weights that cannot be inherited cost a candidate its start, and those that cannot be written
their children: never the candidate itself."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from phylon.search import Architecture, Candidate
from phylon.trainables import ImageTask, LightningEvaluator, Training
from tests.trainables.heirs import train

Damage = Callable[[Path], object]
WEIGHTS = "weights.safetensors"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def parent(bars: ImageTask, small: Architecture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a trained candidate 0."""
    study = tmp_path_factory.mktemp("study")
    train(evaluator(bars), Candidate(0, small, seed=5), study)
    return study


def evaluator(task: ImageTask) -> LightningEvaluator:
    return LightningEvaluator(task, Training(2, batch_size=16), inherits=True)


def truncate(name: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:-100])

    return damage


def put(value: float) -> Damage:
    """Put a number into some parameter."""

    def damage(folder: Path) -> None:
        arrays, about = load_file(folder / WEIGHTS), told(folder)
        name = max(arrays, key=lambda each: arrays[each].size)
        arrays[name].flat[3] = value
        save_file(arrays, folder / WEIGHTS, {"phylon": json.dumps(about)})

    return damage


def of_another_version(folder: Path) -> None:
    arrays, about = load_file(folder / WEIGHTS), told(folder)
    renamed = {f"{name}_v2": array for name, array in arrays.items()}
    save_file(renamed, folder / WEIGHTS, {"phylon": json.dumps(about)})


def of_other_shapes(folder: Path) -> None:
    arrays, about = load_file(folder / WEIGHTS), told(folder)
    wider = {name: np.repeat(array, 2, axis=0) if array.ndim else array
             for name, array in arrays.items()}  # fmt: skip
    save_file(wider, folder / WEIGHTS, {"phylon": json.dumps(about)})


def of_another_space(folder: Path) -> None:
    arrays, about = load_file(folder / WEIGHTS), told(folder)
    about["architecture"] = {"depth": 7}
    save_file(arrays, folder / WEIGHTS, {"phylon": json.dumps(about)})


def of_somebody_else(folder: Path) -> None:
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS)


def of_another_precision(folder: Path) -> None:
    header = json.dumps({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(header)) + header + b"abcd")


def told(folder: Path) -> dict[str, object]:
    with safe_open(folder / WEIGHTS, framework="np") as file:
        about: dict[str, object] = json.loads(file.metadata()["phylon"])
        return about


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shutil.rmtree, r"weights\.safetensors` does not exist"),
        (truncate(WEIGHTS), r"weights\.safetensors` cannot be read"),
        (truncate("optimizer.safetensors"), r"optimizer\.safetensors` cannot be read"),
        (put(float("nan")), "not finite"),
        (put(float("inf")), "not finite"),
        (of_another_version, "not those of its architecture.*only weights of this version"),
        (of_other_shapes, "not those of its architecture.*only weights of this version"),
        (of_another_space, "the space does not decide stages"),
        (of_somebody_else, "do not tell the architecture"),
        (of_another_precision, "numbers of type BF16"),
    ],
    ids=lambda it: getattr(it, "__name__", None),
)
def test_a_child_of_a_bad_parent_begins_afresh_and_says_why(
    bars: ImageTask, small: Architecture, parent: Path, tmp_path: Path, damage: Damage, said: str
) -> None:
    study = tmp_path / "study"
    shutil.copytree(parent, study)
    damage(study / "candidates" / "0")
    child = Candidate(1, Architecture({**small.nested, "dropout": 0.0}), seed=6, inherit_from=0)
    found = train(evaluator(bars), child, study)
    alone = train(evaluator(bars), replace(child, id=2, inherit_from=None), study)
    for one, other in zip(found, alone, strict=True):
        assert one.metrics == {**other.metrics, "inherited_share": 0.0}
        assert one.note.startswith("began with random weights: ")
        assert re.search(said, one.note)
    assert found[-1].checkpoint == WEIGHTS


FULL = """
import json, resource, sys
from pathlib import Path
from phylon.trainables import LightningEvaluator, Training
from tests.trainables.heirs import HeirTask, heir, train

study = Path(sys.argv[1])
made = LightningEvaluator(HeirTask(), Training(3, checkpoint_every=1), inherits=True)
train(made, heir(9), study)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
found = train(made, heir(0, 9, width=2000), study)
found += train(made, heir(1, 0, width=8), study)
print(json.dumps([each.to_json() for each in found]))
"""


def test_a_candidate_completes_though_its_files_cannot_be_written(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, second, third, *child = json.loads(run.stdout)
    assert [each["checkpoint"] for each in (first, second, third)] == [None, None, None]
    assert "note" not in first
    assert third["note"].startswith("its weights could not be written: ")
    assert "File too large" in third["note"]
    assert list((tmp_path / "candidates" / "0").iterdir()) == []
    assert run.stderr.count(f"training goes on without `{tmp_path}/candidates/0/last.ckpt`") == 1
    assert child[0]["note"].startswith("began with random weights: ")
    assert child[-1]["metrics"]["inherited_share"] == 0.0
