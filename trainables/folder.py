"""What an evaluation keeps in a candidate's folder: written atomically, no pickled objects."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

import torch
from pytorch_lightning import Trainer
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn

from phylon.search.candidate import Candidate, Measurement
from phylon.search.errors import EvaluationError

CHECKPOINT = "last.ckpt"
WEIGHTS = "weights.safetensors"
METADATA = "phylon"
UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, LookupError, pickle.UnpicklingError)

log = logging.getLogger(__name__)


@final
class CandidateFolder:
    """The checkpoint of a candidate in training, or the weights of a trained one.

    Either tells what was measured up to it and for which training, so that a later attempt at the
    same candidate takes up there, and one that trains otherwise does not.
    """

    def __init__(self, path: Path, candidate: Candidate, epochs: int, batch_size: int) -> None:
        self.path = path
        self.weights = path / WEIGHTS
        self.checkpoint = path / CHECKPOINT
        self._identity = {
            "architecture": candidate.architecture.key,
            "seed": candidate.seed,
            "epochs": epochs,
            "batch_size": batch_size,
        }
        path.mkdir(parents=True, exist_ok=True)

    def state(self, history: Sequence[Measurement]) -> dict[str, Any]:
        """Return what both files tell besides weights, as plain data."""
        return {"training": self._identity, "history": [asdict(each) for each in history]}

    def save_checkpoint(self, trainer: Trainer) -> None:
        """Write all that `Trainer.fit` needs to go on as if it had not been interrupted."""
        _write(self.checkpoint, lambda path: trainer.save_checkpoint(path, weights_only=False))

    def save_weights(self, module: nn.Module, history: Sequence[Measurement]) -> None:
        """Write the weights of the trained module, which replace its checkpoint."""
        metadata = {METADATA: json.dumps(self.state(history))}
        _write(self.weights, lambda path: save_model(module, str(path), metadata))
        self.checkpoint.unlink(missing_ok=True)

    def load_weights(self, module: nn.Module) -> None:
        """Fill a module with the weights.

        Raises:
            EvaluationError: There are none, they are damaged, or they belong to another network.
        """
        try:
            load_model(module, str(self.weights))
        except FileNotFoundError as error:
            raise EvaluationError(
                f"`{self.weights}` does not exist: the candidate was not trained to its end"
            ) from error
        except (RuntimeError, SafetensorError) as error:
            raise EvaluationError(f"`{self.weights}` does not fit the network: {error}") from error

    def finished(self) -> list[Measurement] | None:
        """Return the measurements of a training that came to its end; None if there was none."""
        return self._history(self.weights, _weights_state)

    def resumable(self) -> bool:
        """Whether there is a checkpoint of this training that can be read."""
        return self._history(self.checkpoint, _checkpoint_state) is not None

    def _history(self, path: Path, read: Callable[[Path], Any]) -> list[Measurement] | None:
        """Return the measurements that a file tells of; drop a file that is unusable."""
        if not path.exists():
            return None
        try:
            state = read(path)
            history = measurements(state)
            reason = "" if state["training"] == self._identity else "it is of another training"
        except (*UNREADABLE, SafetensorError) as error:
            reason = f"it cannot be read ({error})"
        if not reason:
            return history
        log.warning("training starts over without `%s`: %s", path, reason)
        path.unlink(missing_ok=True)
        return None


def measurements(state: dict[str, Any]) -> list[Measurement]:
    """Return the measurements in a state that `CandidateFolder.state` returned."""
    return [Measurement(**fields) for fields in state["history"]]


def _weights_state(path: Path) -> Any:  # noqa: ANN401 - JSON
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()[METADATA])


def _checkpoint_state(path: Path) -> Any:  # noqa: ANN401 - plain data
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint["callbacks"]["EpochReporter"]


def _write(path: Path, write: Callable[[Path], object]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    write(partial)
    partial.replace(path)
