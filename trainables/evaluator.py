"""Measuring candidates by training them with Lightning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from phylon.search.candidate import Candidate
from phylon.search.errors import ConfigurationError
from phylon.search.evaluation import Context
from phylon.trainables.task import Task
from phylon.trainables.training import Training

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule, LightningModule
    from torch import nn

    from phylon.trainables.folder import CandidateFolder
    from phylon.trainables.footprint import Footprint
    from phylon.trainables.samples import Samples

COUNTED = ("params", "macs")


@final
class LightningEvaluator:
    """Trains the networks of a task, and tests the winner; an `Evaluator` and a `Tester`.

    On a CPU, a candidate's metrics follow from its architecture, its seed, the study's seed, the
    threads and the training settings, to the last bit and however often it was interrupted.

    A search candidate with fewer epochs than `training` stops early in a training of that length,
    whose schedule it follows: a candidate that continues it goes on as if there had been no stop.
    Final candidates have a training of their own length.

    Args:
        task: What to build and to learn.
        training: How long and in what portions.
        seed: The study's; it fixes the split of the data.
        inherits: Whether candidates of the search may begin with the weights of others, which are
            published for that.

    Raises:
        ConfigurationError: The task names no metrics, or ones that are counted anyway, or cannot be
            trained in batches this small.
    """

    def __init__(
        self,
        task: Task,
        training: Training | None = None,
        seed: int = 0,
        *,
        inherits: bool = False,
    ) -> None:
        own = type(task).__name__
        metrics: object = task.metrics
        if isinstance(metrics, str) or not metrics:
            raise ConfigurationError(
                f"{own}.metrics is {metrics!r}; give the names of the metrics that its module "
                'logs in validation, as in metrics = ("val_accuracy",)'
            )
        if twice := sorted({*task.metrics} & {*COUNTED}):
            raise ConfigurationError(
                f"{own}.metrics names {', '.join(twice)}, which phylon counts itself; leave it out"
            )
        training = training or Training()
        if training.batch_size < task.smallest_batch:
            raise ConfigurationError(
                f"training.batch_size: {training.batch_size} is too small for {own}, whose "
                f"networks need at least {task.smallest_batch} samples per step"
            )
        self.task = task
        self.training = training
        self.seed = seed
        self.inherits = inherits
        self._data: LightningDataModule | None = None
        self._footprint: Footprint | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """What the task's module logs, `params`, and `macs`: multiply-accumulates of one sample."""
        return (*self.task.metrics, *COUNTED)

    def evaluate(
        self,
        candidate: Candidate,
        context: Context,
        fill: Callable[[nn.Module], None] | None = None,
    ) -> None:
        """Train a candidate, reporting every epoch.

        An earlier attempt in the same folder is taken up where it left its last checkpoint, else
        the candidate that this one continues. What was measured up to there is reported again, the
        same. Without a checkpoint of either the training starts at its beginning, to the same end.

        A fresh candidate that inherits begins with its parent's weights, as far as they fit, and
        goes on with what the parent's optimizer kept of them, under its own learning rate. If they
        cannot be had, or are damaged, it begins with random ones, and a note says why. The metric
        `inherited_share` tells how much of its network is its parent's.

        Args:
            candidate: What to train.
            context: What the worker lends.
            fill: Gives a fresh network the weights that the training begins with, all of them,
                instead of what else it would begin with.

        Raises:
            EvaluationError: The loss became NaN or infinite, memory ran out, or the module did not
                log what the task promises. Other exceptions of the task are passed on.
        """
        from phylon.trainables.heritage import Heritage, take_over
        from phylon.trainables.lightning import new_trainer, supervised
        from phylon.trainables.reporter import EpochReporter

        folder = self._folder(candidate, context.folder)
        if (finished := folder.finished()) is not None:
            for measurement in finished:
                context.report(measurement)
            return
        with supervised(context):
            module, network = self._module(candidate)
            start = folder.start()
            heritage = None
            if start is None and fill is not None:
                fill(network)
                heritage = Heritage(1.0)
            elif start is None and candidate.inherit_from is not None:
                heritage = take_over(self.task, candidate, module, network, context)
            reporter = EpochReporter(
                folder,
                context,
                self.task.metrics,
                network,
                module,
                candidate.seed,
                self.training.checkpoint_every,
                heritage,
            )
            trainer = new_trainer(context, self._epochs(candidate), reporter)
            trainer.fit(module, datamodule=self.datamodule(), ckpt_path=start, weights_only=True)

    def test(self, candidate: Candidate, context: Context) -> dict[str, float]:
        """Return what the module logs in testing; nothing if the task has no test data.

        Raises:
            EvaluationError: The folder holds no weights of this candidate.
        """
        from pytorch_lightning.utilities.model_helpers import is_overridden

        from phylon.trainables.lightning import new_trainer, supervised

        with supervised(context):
            module, _ = self._module(candidate)
            self._folder(candidate, context.folder).load_weights(module)
            data = self.datamodule()
            if not (is_overridden("test_step", module) and is_overridden("test_dataloader", data)):
                return {}
            trainer = new_trainer(context)
            trainer.test(module, datamodule=data, verbose=False)
            return {name: float(value) for name, value in trainer.callback_metrics.items()}

    def network(self, candidate: Candidate, folder: Path) -> tuple[nn.Module, Any]:
        """Return a trained candidate's network, ready to predict, and an example of its input.

        The example is the first sample of the validation data, as a batch of one.

        Args:
            candidate: One that was evaluated to its end.
            folder: The candidate's own folder, as it was in the evaluation's context.

        Raises:
            EvaluationError: The folder holds no weights of this candidate.
        """
        from phylon.trainables.lightning import first_batch, quiet

        with quiet():
            module, network = self._module(candidate)
            self._folder(candidate, folder).load_weights(module)
            batch = first_batch(self.datamodule(), "validate")
        inputs = batch[0] if isinstance(batch, list | tuple) else batch
        return network.cpu().eval(), inputs[:1]

    def samples(self) -> Samples:
        """Return the first batch of the validation data, and what is known of it.

        Raises:
            ConfigurationError: A batch does not begin with one tensor.
        """
        from phylon.trainables.lightning import quiet
        from phylon.trainables.samples import first_samples

        with quiet():
            return first_samples(self.datamodule(), self.seed)

    def memory(self, candidate: Candidate) -> int:
        """Return the bytes of all tensors of a candidate's training, when they are most."""
        from phylon.trainables.footprint import Footprint

        if self._footprint is None:
            training = self.training
            self._footprint = Footprint(self.task, self.seed, training.batch_size, training.epochs)
        return self._footprint.bytes(candidate.architecture)

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells the task's data from other data, as plain JSON."""
        return self.task.fingerprint()

    def datamodule(self) -> LightningDataModule:
        """Return the data, built once in this process."""
        if self._data is None:
            self._data = self.task.datamodule(self.seed, self.training.batch_size)
        return self._data

    def _folder(self, candidate: Candidate, path: Path) -> CandidateFolder:
        from phylon.trainables.folder import CandidateFolder

        epochs, batch_size = self._epochs(candidate), self.training.batch_size
        bequeaths = self.inherits and candidate.phase == "search"
        return CandidateFolder(path, candidate, epochs, batch_size, bequeaths=bequeaths)

    def _epochs(self, candidate: Candidate) -> int:
        """Return the length of the training, in which a candidate may stop early."""
        if candidate.epochs is None:
            return self.training.epochs
        if candidate.phase == "final":
            return candidate.epochs
        return max(candidate.epochs, self.training.epochs)

    def _module(self, candidate: Candidate) -> tuple[LightningModule, nn.Module]:
        """Return what trains a candidate, and its network, with weights drawn from its seed."""
        from pytorch_lightning import seed_everything

        seed_everything(candidate.seed, verbose=False)
        network = self.task.build(candidate.architecture)
        return self.task.lightning_module(network, candidate.architecture), network

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_data": None, "_footprint": None}
