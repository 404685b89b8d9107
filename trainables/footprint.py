"""How much memory a training takes, found by going through its motions without any data."""

from __future__ import annotations

import logging
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Literal, final

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from typing_extensions import override

from phylon.search.architecture import Architecture
from phylon.trainables.lightning import first_batch, quiet
from phylon.trainables.task import Task

ADAM = 2
"""Tensors that the commonest optimizer keeps of each parameter."""

STAGES: tuple[Literal["fit", "validate"], ...] = ("fit", "validate")
log = logging.getLogger(__name__)


@final
class Footprint:
    """Foresees the memory that trainings of a task's networks need.

    A network is built, and one training and one validation batch go through it, on torch's `meta`
    device, where tensors have shapes and lifetimes, but no content. All are counted while they
    live: parameters, gradients, the optimizer's state, and what is kept for the backward pass.
    Random generators stay as they are. What libraries need besides, as buffers of convolutions,
    is not seen.

    Args:
        task: What to build, and the data; one batch of each kind is read at once.
        seed: The study's.
        batch_size: Samples per training batch.
        epochs: For schedules that ask for their length.
    """

    def __init__(self, task: Task, seed: int, batch_size: int, epochs: int) -> None:
        self._task = task
        self._trainer = SimpleNamespace(
            max_epochs=epochs, estimated_stepping_batches=1000, num_training_batches=100
        )
        self._told = False
        self._shapes: dict[str, Any] = {}
        with isolate_rng(include_cuda=False), quiet(), self._tolerating("the data"):
            data = task.datamodule(seed, batch_size)
            for stage in STAGES:
                batch = first_batch(data, stage)
                self._shapes[stage] = tree_map_only(Tensor, lambda it: it.to("meta"), batch)

    def bytes(self, architecture: Architecture) -> int:
        """Return the most bytes that tensors hold at a time; 0 if the network cannot be built.

        A step that cannot be gone through counts as far as it came.
        """
        with isolate_rng(include_cuda=False), quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tally, is_built = _Tally(), False
            with self._tolerating("build"), torch.device("meta"), tally:
                network = self._task.build(architecture)
                module = self._task.lightning_module(network, architecture)
                is_built = True
                self._rehearse(module)
            return tally.most if is_built else self._parameters_only(architecture)

    def _rehearse(self, module: LightningModule) -> None:
        parameters = [each for each in module.parameters() if each.requires_grad]
        for each in parameters:
            each.grad = torch.empty_like(each)  # of the step before, which Lightning frees late
        _state = self._optimizer_state(module, parameters)
        with self._tolerating("training_step"):
            loss: Any = module.training_step(self._batch("fit"), 0)
            for each in parameters:
                each.grad = None
            (loss["loss"] if isinstance(loss, Mapping) else loss).backward()
        loss = None
        module.eval()
        with self._tolerating("validation_step"), torch.no_grad():
            module.validation_step(self._batch("validate"), 0)

    def _batch(self, stage: str) -> Any:  # noqa: ANN401
        return tree_map_only(Tensor, torch.empty_like, self._shapes[stage])

    def _optimizer_state(
        self, module: LightningModule, parameters: Sequence[nn.Parameter]
    ) -> Sequence[object]:
        """Take a step, and return what holds the state that comes of it."""
        try:
            module._trainer = self._trainer  # type: ignore[assignment]
            made = module.configure_optimizers()
            optimizers = [each for each in tree_leaves(made) if isinstance(each, Optimizer)]
            for optimizer in optimizers:
                optimizer.step()
        except Exception:  # noqa: BLE001 - e.g. a fused one, which needs a real device
            return [torch.empty_like(each) for each in parameters for _ in range(ADAM)]
        else:
            return optimizers
        finally:
            module._trainer = None

    def _parameters_only(self, architecture: Architecture) -> int:
        size = 0
        with self._tolerating("build"):
            parameters = self._task.build(architecture).parameters()
            size = sum(it.numel() * it.element_size() for it in parameters)
        return size * (2 + ADAM)

    @contextmanager
    def _tolerating(self, what: str) -> Iterator[None]:
        """Go on after any error of the task's code; say so once."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - real trainings will show what is the matter
            if not self._told:
                log.warning(
                    "the memory of candidates is foreseen in part only, and learned from those "
                    "that run: %s cannot go through tensors without content (%s: %s)",
                    what, type(error).__name__, str(error).partition("\n")[0],
                )  # fmt: skip
            self._told = True


@final
class _Tally(TorchDispatchMode):
    """Counts the bytes of the tensors that come into being, as long as they live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._now = 0
        self._living: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    @override
    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, Tensor):
                self._count(each.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._living:
            return

        def forget(_: object) -> None:
            del self._living[key]
            self._now -= size

        self._living[key] = weakref.ref(storage, forget)
        self._now += size
        self.most = max(self.most, self._now)
