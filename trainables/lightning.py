"""Lightning without what a search has no use for: loggers, bars, tips, and surprising exits."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from typing import Any, Literal, TypeAlias, final

import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.utilities.warnings import PossibleUserWarning
from pytorch_lightning import Callback, LightningDataModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.profilers import PassThroughProfiler

from phylon.search.errors import EvaluationError, OutOfMemory, is_out_of_memory
from phylon.search.evaluation import Context

# What Lightning raises while it cleans up after a data loader that raised, instead of its error.
_TEARDOWN_ERROR = "Please call `iter(combined_loader)` first"
_NOTHING = nullcontext()
_CPU = torch.device("cpu")
Stage: TypeAlias = Literal["fit", "validate"]
TALKERS = ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.rank_zero")


def new_trainer(context: Context, epochs: int = 1, callback: Callback | None = None) -> Trainer:
    """Return a trainer that does nothing but train, validate and report.

    It is for one device, unless the context's team says otherwise.
    """
    settings: dict[str, Any] = {
        "accelerator": "gpu" if context.device == "cuda" else "cpu",
        "devices": 1,
        "max_epochs": epochs,
        "callbacks": callback,
        "default_root_dir": context.folder,
        # A worker is no member of a job that Lightning may know from the environment, as on SLURM.
        "plugins": [LightningEnvironment()],
        "profiler": _NoProfiler(),
        "logger": False,
        "log_every_n_steps": sys.maxsize,
        "enable_checkpointing": isinstance(callback, Checkpoint),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_autolog_hparams": False,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
    }
    # Copies, since a strategy serves one trainer only.
    return Trainer(**{**settings, **deepcopy({**context.team.trainer})})


@final
class _NoProfiler(PassThroughProfiler):
    """Does nothing, as Lightning's own default, but without a new generator for every hook."""

    def profile(self, action_name: str) -> Any:  # noqa: ANN401, ARG002
        return _NOTHING


def first_batch(data: LightningDataModule, stage: Stage) -> Any:  # noqa: ANN401
    """Return the first batch of the training or the validation data, as a module is given it."""
    return next(batches(data, stage))


def batches(data: LightningDataModule, stage: Stage, device: torch.device = _CPU) -> Iterator[Any]:
    """Yield the batches of the training or the validation data, as a module is given them."""
    data.prepare_data()
    data.setup(stage)
    for batch in data.train_dataloader() if stage == "fit" else data.val_dataloader():
        ready = data.on_before_batch_transfer(batch, 0)
        ready = data.transfer_batch_to_device(ready, device, 0)
        yield data.on_after_batch_transfer(ready, 0)


@contextmanager
def supervised(context: Context) -> Iterator[None]:
    """Run Lightning with the context's threads, silently, and with telling errors.

    Raises:
        OutOfMemory: Memory ran out.
        EvaluationError: The context lends a GPU that torch does not see.
        KeyboardInterrupt: Ctrl-C was pressed, which Lightning by itself turns into an exit.
    """
    if context.device == "cuda" and not torch.cuda.is_available():
        raise EvaluationError(
            f"Ray lends the candidate a GPU, but torch {torch.__version__} sees none on this node; "
            f"install a build of torch for its driver, or set `resources.gpus: 0`"
        )
    torch.set_num_threads(context.threads)
    shortage = ""
    try:
        with quiet():
            yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    except (MemoryError, RuntimeError) as error:
        if _TEARDOWN_ERROR in str(error) and error.__context__ is not None:
            raise error.__context__ from None
        if not is_out_of_memory(error):
            raise
        shortage = str(error).partition("\n")[0]
    finally:
        if context.device == "cuda":
            torch.cuda.empty_cache()
    if shortage:  # raised here, where the network and its tensors are held by no traceback
        raise OutOfMemory(
            f"out of memory on {context.device} ({shortage}); lower training.batch_size, run fewer "
            "candidates at a time, or limit the widths of the space"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Lightning says about every run and nobody can act on."""
    levels = {name: logging.getLogger(name).level for name in TALKERS}
    for name in TALKERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=PossibleUserWarning)
            # Lightning 2.6 makes a torch class that torch 2.13 begins to retire.
            warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
            warnings.filterwarnings("ignore", ".*pin_memory.* no accelerator is found")
            # Trainings of shared weights step schedules themselves, on what they have.
            warnings.filterwarnings(
                "ignore", ".*keys will be ignored. You need to call", RuntimeWarning
            )
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
