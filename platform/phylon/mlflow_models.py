"""Trained networks as MLflow's logged models and, where a name is given, as registered ones."""

from __future__ import annotations

import hashlib
import re
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from phylon.mlflow_runs import StudyRuns
from phylon.models import WINNER, Models, Trained

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from torch import nn

CHAMPION = "champion"
_DIGEST, _ALIAS = "phylon.digest", "phylon.alias"


def log_models(runs: StudyRuns, models: Models, register: str | None) -> None:
    """Log networks as models of their candidates and of the study; none whose weights are there.

    Args:
        runs: Where to.
        models: Yields the networks.
        register: The registered model that they become versions of, too; None for not.

    Raises:
        Exception: MLflow, its artifact store, or torch's export does not take them.
    """
    logged = [(trained.name, _log(runs, trained)) for trained in models()]
    for name, model in logged if register else ():
        _register(runs.client, str(register), model, is_winner=name == WINNER)


def _log(runs: StudyRuns, trained: Trained) -> LoggedModel:
    network = trained.network.cpu().eval()
    digest = _digest(network)
    run_id = runs.run_of(trained.candidate_id)
    model = _find(runs, run_id, digest)
    if model is None:
        tags = {_DIGEST: digest, "phylon.candidate": str(trained.candidate_id)}
        model = runs.client.create_logged_model(runs.experiment, trained.name, run_id, tags)
    if model.status != "READY":
        _upload(runs, model, network, trained)
        model = runs.client.finalize_logged_model(model.model_id, "READY")
    for each in {run_id, runs.study}:
        _link(runs.client, each, model.model_id)
    return model


def _find(runs: StudyRuns, run_id: str, digest: str) -> LoggedModel | None:
    found = runs.client.search_logged_models([runs.experiment], f"source_run_id = '{run_id}'")
    return next((each for each in found if each.tags.get(_DIGEST) == digest), None)


def _link(client: MlflowClient, run_id: str, model_id: str) -> None:
    """Have a run's page show a model."""
    from mlflow.entities import LoggedModelOutput

    outputs = client.get_run(run_id).outputs
    if model_id not in [each.model_id for each in (outputs.model_outputs if outputs else [])]:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])


def _register(client: MlflowClient, name: str, model: LoggedModel, *, is_winner: bool) -> None:
    """Make a logged model a version of a registered one, once; the winner's is the champion.

    A version is given the alias once only: it may since have been given to a better one.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {key: value for key, value in model.tags.items() if key.startswith("phylon.")}
    found = client.search_model_versions(f"name = '{name}' AND run_id = '{model.source_run_id}'")
    version = next((v for v in found if v.tags.get(_DIGEST) == tags[_DIGEST]), None)
    if version is None:
        version = client.create_model_version(
            name,
            model.artifact_location,
            model.source_run_id,
            tags,
            model_id=model.model_id,
            await_creation_for=0,  # else it tells on the terminal that it waits for what is there
        )
    if is_winner and _ALIAS not in version.tags:
        client.set_registered_model_alias(name, CHAMPION, version.version)
        client.set_model_version_tag(name, version.version, _ALIAS, CHAMPION)


def _upload(runs: StudyRuns, model: LoggedModel, network: nn.Module, trained: Trained) -> None:
    import numpy as np
    import torch

    # MLflow warns of its own type hints when its model flavours are imported.
    warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType", UserWarning)
    from mlflow.models import Model, infer_signature
    from mlflow.pytorch import save_model

    # The export would take a batch of one for the only size that there is.
    example = np.asarray(trained.example)
    example = np.resize(example, (max(2, len(example)), *example.shape[1:]))
    with torch.inference_mode():
        output = network(torch.from_numpy(example)).numpy()
    about = Model(
        artifact_path=model.artifact_location,
        model_uuid=model.model_id,
        model_id=model.model_id,
        run_id=model.source_run_id,
    )
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / trained.name
        save_model(
            network,
            folder,
            mlflow_model=about,
            signature=infer_signature(example, output),
            input_example=example,
            pip_requirements=[f"torch=={re.sub('[+].*', '', torch.__version__)}"],
            serialization_format="pt2",
        )
        runs.client.log_model_artifacts(model.model_id, str(folder))


def _digest(network: nn.Module) -> str:
    """Return a digest of a network's weights: equal for equal networks."""
    import torch

    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
