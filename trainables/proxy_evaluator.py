"""Scoring candidates by zero-cost proxies, without training them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, final

from phylon.search.candidate import Candidate, Measurement
from phylon.search.errors import ConfigurationError, EvaluationError
from phylon.search.evaluation import Context
from phylon.trainables.task import Task

if TYPE_CHECKING:
    from torch import Tensor


@final
class ProxyEvaluator:
    """Scores the untrained networks of a task by zero-cost proxies; an `Evaluator`.

    Weights are drawn from the candidate's seed. All candidates see the same batch of training data,
    which must be a pair of inputs and labels.

    Args:
        task: What to build, and the data.
        proxies: Names in `phylon.trainables.proxies.PROXIES`; the metrics.
        seed: The study's; it fixes the batch.
        batch_size: Samples of the batch.

    Raises:
        ConfigurationError: The batch is smaller than what the task's networks need.
    """

    def __init__(
        self, task: Task, proxies: tuple[str, ...], seed: int = 0, batch_size: int = 32
    ) -> None:
        if batch_size < task.smallest_batch:
            raise ConfigurationError(
                f"batch size {batch_size} is too small for {type(task).__name__}, whose networks "
                f"need at least {task.smallest_batch} samples"
            )
        self.task = task
        self.proxies = proxies
        self.seed = seed
        self.batch_size = batch_size
        self._batch: tuple[Tensor, Tensor] | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the proxies."""
        return self.proxies

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        """Report the scores of a candidate's network, as one measurement.

        Raises:
            EvaluationError: Memory ran out, or the task's batches are no pairs of tensors. Other
                exceptions of the task are passed on.
            ConfigurationError: There is no proxy of some name.
        """
        from pytorch_lightning import seed_everything

        from phylon.trainables.lightning import supervised
        from phylon.trainables.proxies import score

        start = time.perf_counter()
        with supervised(context):
            inputs, labels = (each.to(context.device) for each in self._training_batch())
            seed_everything(candidate.seed, verbose=False)
            network = self.task.build(candidate.architecture).to(context.device)
            scores = score(network, inputs, labels, self.proxies)
        context.report(Measurement(1, scores, time.perf_counter() - start))

    def _training_batch(self) -> tuple[Tensor, Tensor]:
        """Return inputs and labels, taken once in this process."""
        from pytorch_lightning import seed_everything
        from torch import Tensor

        from phylon.trainables.lightning import first_batch

        if self._batch is None:
            seed_everything(self.seed, verbose=False)
            batch: object = first_batch(self.task.datamodule(self.seed, self.batch_size), "fit")
            if isinstance(batch, list):
                batch = tuple(batch)
            match batch:
                case (Tensor() as inputs, Tensor() as labels):
                    self._batch = inputs, labels
                case _:
                    raise EvaluationError(
                        f"zero-cost proxies need batches of inputs and labels, two tensors; the "
                        f"data of {type(self.task).__name__} yields {type(batch).__name__}"
                    )
        return self._batch

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_batch": None}
