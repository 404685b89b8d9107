"""Training the weights of a supernet from beginning to end, whatever comes between."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import final

import numpy as np
from pytorch_lightning import LightningDataModule, LightningModule, seed_everything

from phylon.search.candidate import Candidate
from phylon.search.errors import EvaluationError, NonFinite
from phylon.search.evaluation import Context
from phylon.search.objective import Objective
from phylon.search.space import SearchSpace
from phylon.trainables.enas_training import EnasTraining
from phylon.trainables.evaluator import LightningEvaluator
from phylon.trainables.folder import CandidateFolder
from phylon.trainables.lightning import new_trainer, supervised
from phylon.trainables.reporter import EpochReporter
from phylon.trainables.shared_training import FairTraining, SharedTraining, UniformTraining
from phylon.trainables.sharing import ADVICE, Sharing
from phylon.trainables.supernet import Supernet
from phylon.trainables.teamwork import agreed, agreed_start

log = logging.getLogger(__name__)


@final
class SupernetTrainer:
    """Trains the shared weights of a space, with a checkpoint after every epoch.

    If the loss becomes NaN or infinite, the training goes back to the last checkpoint, and on with
    half the learning rate; the second time it fails.

    Args:
        trained: Whose task, data and batch size they are; each worker of a team takes such a batch.
        space: What the supernet holds.
        sharing: How they are trained.
        objective: What the controller of `enas` is rewarded for.
    """

    def __init__(
        self,
        trained: LightningEvaluator,
        space: SearchSpace,
        sharing: Sharing,
        objective: Objective,
    ) -> None:
        self.trained = trained
        self.space = space
        self.sharing = sharing
        self.objective = objective

    def train(self, candidate: Candidate, context: Context) -> None:
        """Train until the end, reporting every epoch; an earlier attempt is taken up.

        Raises:
            EvaluationError: See `SupernetEvaluator.evaluate`.
        """
        folder = self._folder(candidate, context)
        if (finished := agreed(folder.finished(), context.team)) is not None:
            for measurement in finished:
                context.report(measurement)
            return
        with supervised(context):
            try:
                self._attempt(candidate, context, folder, factor=1.0)
            except NonFinite as first:
                log.warning("shared weights: %s; going back, with half the learning rate", first)
                try:
                    self._attempt(candidate, context, folder, factor=0.5)
                except NonFinite as second:
                    raise EvaluationError(
                        f"{second}. It was tried again from the last checkpoint with half the "
                        f"learning rate, after {first}"
                    ) from second

    def _attempt(
        self, candidate: Candidate, context: Context, folder: CandidateFolder, factor: float
    ) -> None:
        """Train from the last checkpoint, or the beginning, with learning rates times a factor."""
        seed_everything(candidate.seed, verbose=False)
        supernet = self.trained.task.supernet(self.space)
        training = self._training(candidate, context, supernet)
        training.factor = factor
        reporter = EpochReporter(
            folder, context, ("loss",), supernet, supernet, candidate.seed, checkpoint_every=1
        )
        trainer = new_trainer(context, self._epochs(candidate), reporter)
        trainer.limit_val_batches = 0  # paths are tried without Lightning
        start = agreed_start(folder, context.team)
        trainer.fit(training, datamodule=self._data(context), ckpt_path=start, weights_only=True)
        if context.team.rank == 0 and not folder.weights.exists():
            raise EvaluationError(
                f"the shared weights could not be written to `{folder.weights}`, and without them "
                "no candidate can be scored; make room there, and resume the study"
            )

    def _training(
        self, candidate: Candidate, context: Context, supernet: Supernet
    ) -> SharedTraining:
        inner = self._inner(supernet, candidate.seed)
        common = (inner, supernet, self.space, candidate.seed, context.team)
        match self.sharing.training:
            case "uniform":
                return UniformTraining(*common)
            case "fair":
                return FairTraining(*common)
            case "enas":
                advice = context.folder / ADVICE
                return EnasTraining(*common, self.objective, advice, self.sharing.samples)

    def _inner(self, supernet: Supernet, seed: int) -> LightningModule:
        """Return the task's module, for some path: they do not differ in what it is told by."""
        path = self.space.sample(np.random.default_rng(seed))
        supernet.select(path)
        return self.trained.task.lightning_module(supernet, path)

    def _data(self, context: Context) -> LightningDataModule:
        """Return data in batches for all workers of a team together."""
        if context.team.size == 1:
            return self.trained.datamodule()
        return self.trained.task.datamodule(self.trained.seed, self._batch_size(context))

    def _batch_size(self, context: Context) -> int:
        return self.trained.training.batch_size * context.team.size

    def _epochs(self, candidate: Candidate) -> int:
        return candidate.epochs or self.sharing.epochs

    def _folder(self, candidate: Candidate, context: Context) -> CandidateFolder:
        from phylon.trainables.folder import CandidateFolder

        space = hashlib.sha256(json.dumps(self.space.to_json()).encode()).hexdigest()[:16]
        kind = [self.sharing.training, space]
        epochs, batch_size = self._epochs(candidate), self._batch_size(context)
        return CandidateFolder(context.folder, candidate, epochs, batch_size, kind)
