"""The best networks in MLflow: logged once, linked to their runs, registered, loadable anywhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import LoggedModel

from phylon import Candidate, Context, Measurement, Study
from phylon.mlflow_client import default_uri
from tests.phylon.toy import run
from tests.phylon.tracking import runs_of

LOAD_WITHOUT_PHYLON = """
import sys
sys.modules["phylon"] = None  # importing it fails
import mlflow, numpy, torch
mlflow.set_tracking_uri(sys.argv[1])
network = mlflow.pytorch.load_model(sys.argv[2])
batch = torch.from_numpy(numpy.load(sys.argv[3]))
numpy.save(sys.argv[4], network(batch).detach().numpy())
"""


class Nets:
    """Candidate n is a network whose weights are drawn from seed n; what costs more is better."""

    metrics = ("y", "cost")

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        context.folder.mkdir(parents=True, exist_ok=True)
        (context.folder / "weights").write_text(str(candidate.id))
        x = candidate.architecture["x"]
        context.report(Measurement(1, {"y": round(x, 1), "cost": round(x, 1)}, 0.0))

    def network(self, candidate: Candidate, folder: Path) -> tuple[torch.nn.Module, Any]:
        assert (folder / "weights").read_text() == str(candidate.id)
        torch.manual_seed(candidate.id)
        network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4))
        return network, torch.ones(1, 1, 8, 8)


def models_of(study: Study, client: MlflowClient) -> dict[str, LoggedModel]:
    """Return the logged models by candidate; each must be there once."""
    parent, _ = runs_of(study.config.name, client)
    found = client.search_logged_models([parent.info.experiment_id])
    by_candidate = {model.tags["phylon.candidate"]: model for model in found}
    assert len(by_candidate) == len(found)
    assert {model.status for model in found} == {"READY"}
    return by_candidate


@pytest.fixture
def study(new_study: Callable[..., Study], tmp_path: Path) -> Study:
    return new_study(
        Nets(),
        objectives=[
            {"metric": "y", "direction": "maximize"},
            {"metric": "cost", "direction": "minimize"},
        ],
        strategy={"name": "random"},
        tracking={"uri": default_uri(tmp_path), "register": "team nets"},
        budget={"candidates": 4},
    )


def test_winner_and_front_are_logged_once_registered_and_load_without_phylon(
    study: Study, tmp_path: Path
) -> None:
    uri = default_uri(tmp_path)
    client = MlflowClient(uri)
    state = run(study)
    models = models_of(study, client)
    assert set(models) == {"0", "1", "2", "3"}  # nothing is cheaper and better at once
    best = models[str(state.best.id)]
    parent, children = runs_of("toy", client)
    assert best.name == "best"
    assert {model.name for model in models.values()} == {"best", "front"}
    for number, model in models.items():
        child = children[int(number)]
        assert model.source_run_id == child.info.run_id
        assert [each.model_id for each in child.outputs.model_outputs] == [model.model_id]
    shown = {each.model_id for each in parent.outputs.model_outputs}
    assert shown == {model.model_id for model in models.values()}

    versions = client.search_model_versions("name = 'team nets'")
    assert {version.tags["phylon.candidate"] for version in versions} == set(models)
    champion = client.get_model_version_by_alias("team nets", "champion")
    assert champion.tags["phylon.candidate"] == str(state.best.id)

    batch, output = tmp_path / "batch.npy", tmp_path / "output.npy"
    np.save(batch, np.random.default_rng(0).random((7, 1, 8, 8), np.float32))
    name = "models:/team nets@champion"
    command = [sys.executable, "-c", LOAD_WITHOUT_PHYLON, uri, name, str(batch), str(output)]
    subprocess.run(command, check=True, timeout=250, cwd=tmp_path)
    network, _ = Nets().network(state.best.candidate, study.folder / f"candidates/{state.best.id}")
    expected = network.eval()(torch.from_numpy(np.load(batch)))
    assert np.allclose(np.load(output), expected.detach().numpy(), atol=1e-6)


def test_the_same_weights_are_no_second_version_and_the_alias_stays_where_it_was_put(
    study: Study, tmp_path: Path
) -> None:
    uri = default_uri(tmp_path)
    client = MlflowClient(uri)
    run(study)
    before = {version.version for version in client.search_model_versions("name = 'team nets'")}
    champion = client.get_model_version_by_alias("team nets", "champion").version
    other = next(version for version in before if version != champion)
    client.set_registered_model_alias("team nets", "champion", other)
    for file in (study.folder / "tracking").glob("*.jsonl"):
        file.unlink()  # all that phylon knows of what is there
    run(study, resume=True)
    models_of(study, client)
    after = {version.version for version in client.search_model_versions("name = 'team nets'")}
    assert after == before
    assert client.get_model_version_by_alias("team nets", "champion").version == other
