"""What MLflow is given once for each study, beside its runs: documents, data, the best model."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from phylon.mlflow_plan import Projection
from phylon.mlflow_record import RunRecord
from phylon.mlflow_runs import StudyRuns

if TYPE_CHECKING:
    import numpy as np
    from mlflow.entities import LoggedModel
    from numpy.typing import NDArray
    from torch import nn

Winner = Callable[[], "tuple[nn.Module, NDArray[np.generic]] | None"]
"""Returns a trained network and a batch of inputs (array or tensor), or None without a winner."""

MODEL = "best"


class Extras:
    """Uploads that are done once, each under a name.

    Args:
        winner: Returns the best network of a finished study; None to leave the model out.
    """

    def __init__(self, winner: Winner | None) -> None:
        self._winner = winner

    def missing(self, projection: Projection, record: RunRecord) -> list[str]:
        """Return the names of what should be in MLflow by now and is not."""
        if projection.created is None:
            return []
        names = ["study.json", "space.json", "the data's name"]
        if projection.finished is not None and self._winner:
            names.append(f"the best model of event {projection.finished}")
        return [name for name in names if name not in record.done]

    def send(self, name: str, runs: StudyRuns, projection: Projection) -> None:
        """Bring one of them to MLflow; harmless if it is there already.

        Raises:
            Exception: MLflow, its artifact store, or torch's export does not take it.
        """
        created = projection.created
        if created is None:
            return
        match name:
            case "study.json":
                runs.client.log_dict(runs.study, created.config, name)
            case "space.json":
                runs.client.log_dict(runs.study, created.space, name)
            case "the data's name":
                _log_data(runs, created.fingerprint)
            case _:
                runs.adopt()  # The study is at its end: a last look for runs made twice.
                if self._winner and (best := self._winner()):
                    _log_model(runs, *best)


def _log_data(runs: StudyRuns, fingerprint: dict[str, object]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if not fingerprint:
        return
    text = json.dumps(fingerprint, sort_keys=True)
    digest = str(fingerprint.get("digest") or hashlib.sha256(text.encode()).hexdigest())
    name = str(fingerprint.get("name") or "data")
    data = Dataset(name[:500], digest[:36], source_type="phylon", source=text, profile=text)
    tag = InputTag("mlflow.data.context", "training")
    runs.client.log_inputs(runs.study, datasets=[DatasetInput(data, [tag])])


def _log_model(runs: StudyRuns, network: nn.Module, example: NDArray[np.generic]) -> None:
    """Log a network as the study's model `best`, unless the same weights are there."""
    from mlflow.entities import LoggedModelOutput

    network = network.cpu().eval()
    digest = _digest(network)
    model = _find_model(runs, digest)
    if model is None:
        model = runs.client.create_logged_model(
            runs.experiment, MODEL, runs.study, tags={"phylon.digest": digest}
        )
    if model.status != "READY":
        _upload(runs, model, network, example)
        runs.client.finalize_logged_model(model.model_id, "READY")
    outputs = runs.client.get_run(runs.study).outputs
    if model.model_id not in [o.model_id for o in (outputs.model_outputs if outputs else [])]:
        runs.client.log_outputs(runs.study, [LoggedModelOutput(model.model_id, 0)])


def _find_model(runs: StudyRuns, digest: str) -> LoggedModel | None:
    text = f"source_run_id = '{runs.study}' AND name = '{MODEL}'"
    found = runs.client.search_logged_models([runs.experiment], text)
    return next((m for m in found if m.tags.get("phylon.digest") == digest), None)


def _upload(
    runs: StudyRuns, model: LoggedModel, network: nn.Module, example: NDArray[np.generic]
) -> None:
    import numpy as np
    import torch

    # MLflow warns of its own type hints when its model flavours are imported.
    warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType", UserWarning)
    from mlflow.models import Model, infer_signature
    from mlflow.pytorch import save_model

    # The export would take a batch of one for the only size that there is.
    example = np.resize(np.asarray(example), (max(2, len(example)), *example.shape[1:]))
    with torch.inference_mode():
        output = network(torch.from_numpy(example)).numpy()
    about = Model(
        artifact_path=model.artifact_location,
        model_uuid=model.model_id,
        model_id=model.model_id,
        run_id=runs.study,
    )
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / MODEL
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
