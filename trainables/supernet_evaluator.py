"""Measuring candidates that share weights: training these, scoring with them, going on alone."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement
from phylon.search.errors import ConfigurationError, EvaluationError
from phylon.search.evaluation import Context
from phylon.search.objective import Objective
from phylon.search.space import SearchSpace
from phylon.trainables.evaluator import LightningEvaluator
from phylon.trainables.sharing import ADVICE, Sharing
from phylon.trainables.task import Task

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule, LightningModule
    from torch import nn

    from phylon.trainables.footprint import Footprint
    from phylon.trainables.samples import Samples
    from phylon.trainables.scorer import Scorer
    from phylon.trainables.supernet import Supernet


@final
class SupernetEvaluator:
    """Trains shared weights, scores candidates with them, and trains the best on their own.

    What is done with a candidate follows from its phase and whether it `is_scored`: see
    `Candidate`. An `Evaluator`, `Tester`, `Adviser`, and whatever else `trained` is.

    Args:
        trained: Trains candidates on their own; its data and batch size are those of the supernet.
        space: What the supernet holds.
        sharing: How weights are shared.
        objective: What the controller of `enas` is rewarded for; by default to raise the first
            metric of the task.

    Raises:
        ConfigurationError: A controller cannot be rewarded for this.
    """

    def __init__(
        self,
        trained: LightningEvaluator,
        space: SearchSpace,
        sharing: Sharing,
        objective: Objective | None = None,
    ) -> None:
        self.trained = trained
        self.space = space
        self.sharing = sharing
        self.objective = objective or Objective(trained.task.metrics[0])
        if sharing.training == "enas" and self.objective.metric not in trained.task.metrics:
            raise ConfigurationError(
                f"objectives: the first one is `{self.objective.metric}`, for which the controller "
                f"of `supernet.training: enas` cannot be rewarded; put one first that the task's "
                f"module logs in validation, among {', '.join(trained.task.metrics)}"
            )
        self._scorer: tuple[int | None, Scorer] | None = None
        self._footprint: Footprint | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of candidates that are trained on their own."""
        return self.trained.metrics

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        """Train the shared weights, score a candidate with them, or train it on its own.

        A candidate that inherits weights begins with those of its path.

        Raises:
            EvaluationError: The loss of the shared weights became NaN or infinite though their
                learning rate was halved, or they do not fit the space; else as `LightningEvaluator`
                does.
        """
        from phylon.trainables.supernet_trainer import SupernetTrainer

        if candidate.phase == "supernet":
            SupernetTrainer(self.trained, self.space, self.sharing, self.objective).train(
                candidate, context
            )
        elif candidate.is_scored:
            self._score(candidate, context)
        elif candidate.inherit_from is None:
            self.trained.evaluate(candidate, context)
        else:

            def fill(network: nn.Module) -> None:
                whole = self._filled(candidate, context)
                network.load_state_dict(whole.extract(candidate.architecture).state_dict())

            self.trained.evaluate(candidate, context, fill)

    def advice(self, supernet: Candidate, folder: Path) -> Sequence[Architecture]:
        """Return what the controller of `enas` drew after its training; nothing otherwise.

        Raises:
            EvaluationError: The folder holds no advice.
        """
        if self.sharing.training != "enas":
            return []
        try:
            drawn = json.loads((folder / ADVICE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EvaluationError(
                f"`{folder / ADVICE}` cannot be read ({error}): the controller of candidate "
                f"{supernet.id} was not trained to its end, or its folder is damaged"
            ) from error
        return [Architecture(each) for each in drawn]

    def test(self, candidate: Candidate, context: Context) -> dict[str, float]:
        """Test a candidate that was trained on its own; see `LightningEvaluator.test`."""
        return self.trained.test(candidate, context)

    def network(self, candidate: Candidate, folder: Path) -> tuple[nn.Module, Any]:
        """Return one that was trained on its own; see `LightningEvaluator.network`."""
        return self.trained.network(candidate, folder)

    def samples(self) -> Samples:
        """Return the first batch of the validation data; see `LightningEvaluator.samples`."""
        return self.trained.samples()

    def memory(self, candidate: Candidate) -> int:
        """Return the bytes of all tensors, when they are most; of a scored one too many."""
        from phylon.trainables.footprint import Footprint

        if candidate.phase != "supernet":
            return self.trained.memory(candidate)
        if self._footprint is None:
            training = self.trained.training
            whole = _Whole(self.trained.task, self.space)
            epochs = self.sharing.epochs
            self._footprint = Footprint(whole, self.trained.seed, training.batch_size, epochs)
        return self._footprint.bytes(self.space.sample(np.random.default_rng(candidate.seed)))

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells the task's data from other data, as plain JSON."""
        return self.trained.fingerprint()

    def _score(self, candidate: Candidate, context: Context) -> None:
        from phylon.trainables.lightning import supervised

        since = time.perf_counter()
        with supervised(context):
            metrics = self._scorer_of(candidate, context).score(candidate.architecture)
        if broken := [name for name, value in metrics.items() if not math.isfinite(value)]:
            raise EvaluationError(
                f"`{broken[0]}` is {metrics[broken[0]]} with the weights of candidate "
                f"{candidate.inherit_from}"
            )
        context.report(Measurement(1, metrics, time.perf_counter() - since))

    def _scorer_of(self, candidate: Candidate, context: Context) -> Scorer:
        """Return the scorer of the weights that a candidate inherits; the last one is kept."""
        from phylon.trainables.scorer import Scorer

        version = candidate.inherit_from
        if self._scorer is None or self._scorer[0] != version:
            self._scorer = None  # which frees the last weights before others are taken
            supernet = self._filled(candidate, context)
            trained = self.trained
            self._scorer = (
                version,
                Scorer(
                    trained.task,
                    supernet,
                    trained.datamodule(),
                    self.sharing.calibration,
                    trained.seed,
                    context,
                ),
            )
        return self._scorer[1]

    def _filled(self, candidate: Candidate, context: Context) -> Supernet:
        """Return the supernet with the weights that a candidate inherits."""
        from phylon.trainables.scorer import share

        if candidate.inherit_from is None:
            raise EvaluationError(
                f"candidate {candidate.id} is to be scored, but inherits no weights to score with"
            )
        supernet = self.trained.task.supernet(self.space)
        share(supernet, context.weights(candidate.inherit_from).arrays)
        return supernet

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scorer": None, "_footprint": None}


@final
class _Whole(Task):
    """A task whose networks are all the same supernet, with one or the other path selected."""

    def __init__(self, task: Task, space: SearchSpace) -> None:
        self._task = task
        self._space = space

    def build(self, architecture: Architecture) -> nn.Module:
        supernet = self._task.supernet(self._space)
        supernet.select(architecture)
        return supernet

    def lightning_module(self, network: nn.Module, architecture: Architecture) -> LightningModule:
        return self._task.lightning_module(network, architecture)

    def datamodule(self, seed: int, batch_size: int) -> LightningDataModule:
        return self._task.datamodule(seed, batch_size)
