"""What an evaluation keeps in a candidate's folder: written atomically, no pickled objects."""

from __future__ import annotations

import json
import logging
import pickle
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, final

import torch
from pytorch_lightning import Trainer
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from safetensors.torch import load_model, save_model
from torch import nn

from phylon.search.candidate import Candidate, Measurement
from phylon.search.errors import EvaluationError
from phylon.search.evaluation import METADATA, OPTIMIZER_FILE, WEIGHTS_FILE, Weights

CHECKPOINT = "last.ckpt"
UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, LookupError, pickle.UnpicklingError)
UNWRITABLE = (OSError, SafetensorError)
"""What writing raises, by whichever library, when the storage is full or gone."""

log = logging.getLogger(__name__)


@final
class CandidateFolder:
    """The checkpoint of a candidate in training, or the weights of a trained one.

    Either tells what was measured up to it and for which training, so that a later attempt at the
    same candidate takes up there, and one that trains otherwise does not. A candidate that ended
    before its training did has both, and another one may go on from its checkpoint.

    Args:
        path: The candidate's own folder; those of other candidates stand beside it.
        candidate: The candidate.
        epochs: Those of the training, which its schedule reckons with.
        batch_size: Samples per step.
        kind: What else tells this training from others, as plain data.
        bequeaths: Whether other candidates may begin with its weights, and what its optimizer
            keeps is kept beside them.

    Attributes:
        until: The candidate's last epoch, at most `epochs`.
        bequeaths: As given.
    """

    def __init__(
        self,
        path: Path,
        candidate: Candidate,
        epochs: int,
        batch_size: int,
        kind: object = None,
        *,
        bequeaths: bool = False,
    ) -> None:
        self.path = path
        self.bequeaths = bequeaths
        self.weights = path / WEIGHTS_FILE
        self.checkpoint = path / CHECKPOINT
        self.until = epochs if candidate.epochs is None else candidate.epochs
        self._optimizer = path / OPTIMIZER_FILE
        self._architecture = candidate.architecture.nested
        self._continues = candidate.continues
        self._training = {
            "architecture": candidate.architecture.key,
            "seed": candidate.seed,
            "epochs": epochs,
            "batch_size": batch_size,
            "inherit_from": candidate.inherit_from,
            "kind": kind,
        }
        path.mkdir(parents=True, exist_ok=True)

    def state(self, history: Sequence[Measurement]) -> dict[str, Any]:
        """Return what both files tell besides weights, as plain data."""
        return {
            "training": self._training,
            "until": self.until,
            "history": [asdict(each) for each in history],
        }

    def recall(self, state: dict[str, Any]) -> list[Measurement]:
        """Return what was measured up to a checkpoint; another candidate's seconds do not count."""
        history = _measurements(state)
        if state["until"] == self.until:
            return history
        return [replace(each, seconds=0.0, checkpoint=None) for each in history]

    def save_checkpoint(self, trainer: Trainer) -> None:
        """Write all that `Trainer.fit` needs to go on as if it had not been interrupted.

        In a team all workers call this together; only the first one writes.

        Raises:
            OSError: It cannot be written.
        """
        try:
            write_whole(
                self.checkpoint, lambda path: trainer.save_checkpoint(path, weights_only=False)
            )
        except OSError:
            trainer.strategy.barrier()  # where the others of the team wait
            raise

    def save_weights(self, module: nn.Module, history: Sequence[Measurement]) -> None:
        """Write the weights of the trained module.

        Raises:
            OSError, SafetensorError: They cannot be written.
        """
        about = {**self.state(history), "architecture": self._architecture}
        metadata = {METADATA: json.dumps(about)}
        write_whole(self.weights, lambda path: save_model(module, str(path), metadata))

    def save_optimizer(self, kept: Weights) -> None:
        """Write what the optimizer keeps of each parameter: before the weights, which end it all.

        Raises:
            OSError, SafetensorError: It cannot be written.
        """
        write_whole(self._optimizer, lambda path: save_file({**kept}, path))

    def drop_weights(self) -> None:
        """Remove the weights, and what belongs to them."""
        self.weights.unlink(missing_ok=True)
        self._optimizer.unlink(missing_ok=True)

    def drop_checkpoint(self) -> None:
        """Remove the checkpoint of a training that is over."""
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
        if not self.weights.exists():
            return None
        state, reason = self._read(self.weights, _weights_state)
        if state and state["until"] != self.until:
            reason = "it is of other epochs"
        if state and not reason:
            return _measurements(state)
        log.warning("training starts over without `%s`: %s", self.weights, reason)
        self.drop_weights()
        return None

    def start(self) -> Path | None:
        """Return the checkpoint to go on from: its own, else that of the candidate it continues.

        What broken attempts have left is removed: before this one writes, since an attempt on a
        node that was cut off may still end beside it.
        """
        for leftover in self.path.glob(".*.partial"):
            leftover.unlink(missing_ok=True)
        paths = [self.checkpoint] if self.checkpoint.exists() else []
        if self._continues is not None:
            paths.append(self.path.parent / str(self._continues) / CHECKPOINT)
        for path in paths:
            state, reason = self._read(path, _checkpoint_state)
            if state and len(state["history"]) >= self.until:
                reason = "it has trained for longer"
            if not reason:
                return path
            log.warning("training starts over without `%s`: %s", path, reason)
        return None

    def _read(self, path: Path, read: Callable[[Path], Any]) -> tuple[dict[str, Any] | None, str]:
        """Return the state in a file of this training, or why there is none."""
        try:
            state = read(path)
            _ = state["until"], _measurements(state)
            if state["training"] == self._training:
                return state, ""
        except FileNotFoundError:
            return None, "it is gone"
        except (*UNREADABLE, SafetensorError) as error:
            return None, f"it cannot be read ({error})"
        return None, "it is of another training"


def _measurements(state: dict[str, Any]) -> list[Measurement]:
    """Return the measurements in a state that `CandidateFolder.state` returned."""
    return [Measurement(**fields) for fields in state["history"]]


def _weights_state(path: Path) -> Any:  # noqa: ANN401 - JSON
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()[METADATA])


def _checkpoint_state(path: Path) -> Any:  # noqa: ANN401 - plain data
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint["callbacks"]["EpochReporter"]


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file such that it is there as a whole or not at all; nothing if `write` does not.

    If `write` raises, what stood there before still does.
    """
    # Under a name of its own: a worker that was cut off may still write here beside its successor.
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        write(partial)
        if partial.exists():
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
