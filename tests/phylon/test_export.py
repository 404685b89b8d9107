"""A network that was taken home runs there, without phylon, as it did in the study."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from phylon import SearchSpace, Study
from phylon.ancestry import line_of_descent
from phylon.cli import main
from phylon.cluster.location import Location
from phylon.errors import ConfigurationError, EvaluationError
from phylon.export import export_network
from phylon.export_formats import FORMATS, RECIPES, Format
from phylon.export_parity import TOLERANCE
from phylon.export_texts import data_facts, script
from phylon.trainables import (
    build_cellnet,
    build_convnet,
    build_dartsnet,
    darts_space,
    macro_space,
    nasbench201_space,
)
from phylon.trainables.samples import Samples
from tests.cluster.store import Store
from tests.phylon.own_lines import Choosy, Lines, LinesTask, Noisy
from tests.phylon.toy import Toy, run

BESIDE = {"README.md", "predict.py", "data.json", "example.npy", "metrics.json", "lineage.json"}
FILES: dict[Format, set[str]] = {
    "source": {"network.py", "weights.safetensors"},
    "torch": {"network.pt2"},
    "onnx": {"network.onnx"},
}


def new_study(storage: Path | Location, task: Any, **fields: Any) -> Study:
    metric = "val_accuracy" if task == "digits" else "val_loss"
    direction = "maximize" if task == "digits" else "minimize"
    settings = {
        "name": "small",
        "task": task,
        "objectives": [{"metric": metric, "direction": direction}],
        "budget": {"candidates": 2},
        "training": {"epochs": 1, "batch_size": 16},
        "tracking": {"uri": "none"},
        "storage": str(storage),
        **fields,
    }
    return Study(**settings)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of digits with a final phase, at its end."""
    study = new_study(
        tmp_path_factory.mktemp("digits"),
        "digits",
        space=macro_space(8, depth=(1, 1), width=(8, 8)),
        training={"epochs": 1, "batch_size": 128},
        final={"top": 1, "epochs": 2, "seeds": 2},
    )
    run(study)
    return study


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = new_study(
        tmp_path_factory.mktemp("lines"), LinesTask(), final={"top": 1, "epochs": 2, "seeds": 1}
    )
    run(study)
    return study


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", FORMATS)
def test_the_winner_goes_home_with_all_that_is_known_of_it(
    digits: Study, tmp_path: Path, kind: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "home"
    assert main(["export", str(digits.folder), "--format", kind, "--out", str(folder)]) == 0
    state = digits.state()
    best = state.best
    assert best
    assert best.candidate.phase == "final"
    assert f"candidate {best.id} is in {folder}" in capsys.readouterr().out
    expected = BESIDE | FILES[kind] | {"parity.json", "requirements.txt"}
    assert {path.name for path in folder.iterdir()} == expected
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert 0 <= read(folder, "parity.json")["max_abs_difference"] <= TOLERANCE
    told = read(folder, "metrics.json")
    assert told["metrics"] == best.metrics
    assert state.tested
    assert told["test"]["test_accuracy"] in state.tested.metrics["test_accuracy"]
    line = [record.id for record in line_of_descent(state, best.id)]
    assert [row["id"] for row in read(folder, "lineage.json")] == line
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert f"Candidate {best.id} of the study small" in text
    assert all(f"`{name}`" in text for name in expected - {"README.md"})
    lines = filter(None, (folder / "predict.py").read_text(encoding="utf-8").splitlines())
    doing = [line for line in lines if not line.startswith(('"""', "import ", "from "))]
    assert len(doing) <= 11
    assert f"| val_accuracy | {best.metrics['val_accuracy']:.6g} |" in text


def test_the_script_names_the_classes_of_pictures_as_they_are(
    digits: Study, tmp_path: Path
) -> None:
    done = export_network(digits, "source", out=tmp_path / "home")
    evaluator: Any = digits.parts.evaluator
    dataset = evaluator.task.dataset
    validation = dataset.split(digits.config.seed).validation
    pictures = np.load(done.folder / "example.npy")
    np.testing.assert_array_equal(pictures, dataset.images[validation[:8]])
    candidate = digits.state().records[done.candidate_id].candidate
    network, _ = evaluator.network(candidate, digits.folder / "candidates" / str(candidate.id))
    inputs = evaluator.samples().inputs
    names = [dataset.classes[i] for i in network(inputs[:8]).argmax(dim=1)]
    command = [sys.executable, str(done.folder / "predict.py")]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert told.stdout.split() == names
    assert not told.stderr


def test_a_network_of_ones_own_goes_home_the_same_each_time(lines: Study, tmp_path: Path) -> None:
    searched = lines.state().ranking("search")[0].id
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        done = export_network(lines, "source", candidate=searched, out=folder)
        assert done.candidate_id == searched
        assert done.samples == 16
    assert np.load(folders[0] / "example.npy").shape == (8, 4)
    for path in folders[0].iterdir():
        assert path.read_bytes() == (folders[1] / path.name).read_bytes(), path.name
    assert export_network(lines, "torch", out=tmp_path / "program").difference <= TOLERANCE


def drawn(space: SearchSpace, build: Callable[..., nn.Module]) -> nn.Module:
    """Return a random network, with running statistics of its own."""
    torch.manual_seed(3)
    network = build(space.sample(np.random.default_rng(5)), 3, 10)
    for _ in range(3):
        network(torch.randn(8, 3, 8, 8) + 0.5)
    return network.eval()


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "nasbench201": lambda: drawn(nasbench201_space(cells=1, channels=4), build_cellnet),
    "macro": lambda: drawn(macro_space(8, depth=(1, 2), width=(8, 16)), build_convnet),
    "darts": lambda: drawn(darts_space(cells=3, channels=4), build_dartsnet),
    "Lightning": lambda: Lines(3).eval(),
}
QUICK = {("nasbench201", "torch"), ("macro", "onnx"), ("darts", "torch"), ("Lightning", "onnx")}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=() if (name, kind) in QUICK else pytest.mark.slow)
        for name in NETWORKS
        for kind in ("torch", "onnx")
    ],
)
def test_networks_of_every_space_are_exported_as_they_are(
    name: str, kind: Format, tmp_path: Path
) -> None:
    network = NETWORKS[name]()
    inputs = torch.randn(5, *((4,) if name == "Lightning" else (3, 8, 8)))
    samples = Samples(inputs, inputs)
    for folder in (tmp_path, tmp_path / "again"):
        folder.mkdir(exist_ok=True)
        RECIPES[kind].write(network, inputs[:2], folder, "A network.")
    for file in FILES[kind]:
        assert (tmp_path / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
    (tmp_path / "predict.py").write_text(script(RECIPES[kind], samples), encoding="utf-8")
    (tmp_path / "data.json").write_text(json.dumps(data_facts(samples)), encoding="utf-8")
    predict = runpy.run_path(str(tmp_path / "predict.py"))["predict"]
    for some in (inputs, inputs[:1]):
        expected = network(some).detach().numpy()
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(predict(some.numpy()), expected, rtol=0, atol=TOLERANCE)


def test_a_network_in_an_object_store_goes_home(store: Store, tmp_path: Path) -> None:
    study = new_study(store.location().parent, LinesTask(Lines))
    run(study)
    done = export_network(study, "source", out=tmp_path / "home")
    assert done.difference <= TOLERANCE
    assert read(done.folder, "metrics.json")["candidate"] == done.candidate_id


def test_what_does_not_predict_the_same_is_not_left_behind(tmp_path: Path) -> None:
    study = new_study(tmp_path / "studies", LinesTask(Noisy))
    run(study)
    (tmp_path / "here").mkdir()
    with pytest.raises(EvaluationError, match=r"differs from the trained one by .*Nothing was"):
        export_network(study, "source", out=tmp_path / "here" / "home")
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize("kind", FORMATS)
def test_what_cannot_be_exported_is_refused(tmp_path: Path, kind: Format) -> None:
    study = new_study(tmp_path / "studies", LinesTask(Choosy))
    run(study)
    (tmp_path / "here").mkdir()
    with pytest.raises(ConfigurationError, match=r"Choosy.*--format"):
        export_network(study, kind, out=tmp_path / "here" / "home")
    assert not list((tmp_path / "here").iterdir())


def test_a_folder_that_exists_is_left_alone(lines: Study, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"home exists; move it away, or name another"):
        export_network(lines, "source", out=tmp_path / "home")
    assert (tmp_path / "home").read_text() == "mine"
    for parent in (tmp_path / "home", tmp_path / "missing"):
        with pytest.raises(ConfigurationError, match=rf"{parent} is no folder; make it, or name"):
            export_network(lines, "source", out=parent / "inside")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_without_onnx_it_says_what_to_install(
    lines: Study, tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError, match=rf"{missing},.*pip install 'phylon\[onnx\]'"):
        export_network(lines, "onnx", out=tmp_path / "home")


def test_an_evaluator_that_keeps_no_networks_is_told_how(
    new_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = new_study(Toy())
    run(study)
    with pytest.raises(ConfigurationError, match=r"give Toy a method network\(candidate, folder\)"):
        export_network(study, "source", out=tmp_path / "home")
