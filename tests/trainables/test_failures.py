from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningDataModule
from torch import nn

from phylon.search import Architecture, Candidate, Context, Measurement
from phylon.search.errors import ConfigurationError, EvaluationError
from phylon.trainables import LightningEvaluator, Task, Training

Evaluate = Callable[..., list[Measurement]]
OWN = Candidate(0, Architecture({"width": 8}), seed=3)


@pytest.mark.parametrize(
    ("fault", "error", "told"),
    [
        ("nan", EvaluationError, r"nan in epoch 2 at step 2, with learning rate 0.05"),
        ("memory", EvaluationError, "out of memory on cpu.*batch_size"),
        ("cuda memory", EvaluationError, "out of memory.*1 GiB"),
        ("bug", ZeroDivisionError, "mine"),
        ("ctrl-c", KeyboardInterrupt, None),
    ],
)
def test_what_goes_wrong_in_a_task_is_told(
    failing: Task, evaluate: Evaluate, fault: str, error: type[BaseException], told: str | None
) -> None:
    evaluator = LightningEvaluator(failing, Training(epochs=3, batch_size=10))
    handler = signal.getsignal(signal.SIGINT)
    broken = Candidate(0, Architecture({"width": 8, "fault": fault}))
    with pytest.raises(error, match=told):
        evaluate(evaluator, candidate=broken)
    assert signal.getsignal(signal.SIGINT) is handler
    sound = Candidate(1, Architecture({"width": 8, "fault": "none"}))
    assert len(evaluate(evaluator, "next", sound)) == 3


def test_a_metric_that_is_promised_but_not_logged_is_told(own: Task, evaluate: Evaluate) -> None:
    class Promising(type(own)):
        metrics = ("val_accuracy",)

    with pytest.raises(EvaluationError, match=r"`val_accuracy`.*logged: val_loss.*self.log"):
        evaluate(LightningEvaluator(Promising(), Training(epochs=1)), candidate=OWN)


@pytest.mark.filterwarnings("ignore:Total length of `list`:UserWarning")
def test_a_task_without_validation_is_told(own: Task, evaluate: Evaluate) -> None:
    class Blind(type(own)):
        def datamodule(self, seed: int, batch_size: int) -> LightningDataModule:
            def nothing() -> list[Any]:
                return []

            data = super().datamodule(seed, batch_size)
            data.val_dataloader = nothing
            return data

    with pytest.raises(EvaluationError, match="val_loss"):
        evaluate(LightningEvaluator(Blind(), Training(epochs=1)), candidate=OWN)


def test_data_that_cannot_be_read_is_told_as_the_loader_told_it(
    own: Task, evaluate: Evaluate
) -> None:
    class Unreadable:
        def __iter__(self) -> Any:
            raise FileNotFoundError("gone")

    class Gone(type(own)):
        def datamodule(self, seed: int, batch_size: int) -> LightningDataModule:
            def unreadable() -> Unreadable:
                return Unreadable()

            data = super().datamodule(seed, batch_size)
            data.train_dataloader = unreadable
            return data

    with pytest.raises(FileNotFoundError, match="gone"):
        evaluate(LightningEvaluator(Gone(), Training(epochs=1)), candidate=OWN)


def test_a_network_without_a_module_is_told(own: Task, evaluate: Evaluate) -> None:
    class Bare(type(own)):
        def build(self, _architecture: Architecture) -> nn.Module:
            return nn.Linear(4, 1)

    with pytest.raises(ConfigurationError, match=r"Linear.*Bare.lightning_module"):
        evaluate(LightningEvaluator(Bare()), candidate=OWN)


def test_a_space_of_other_decisions_is_told(bars: Task, evaluate: Evaluate) -> None:
    with pytest.raises(ConfigurationError, match=r"does not decide stages.*macro_space"):
        evaluate(LightningEvaluator(bars), candidate=OWN)


@pytest.mark.parametrize("metrics", [(), "val_loss", ("val_loss", "params")])
def test_tasks_must_name_their_own_metrics(own: Task, metrics: Any) -> None:
    class Odd(type(own)):
        pass

    Odd.metrics = metrics
    with pytest.raises(ConfigurationError, match=r"Odd\.metrics"):
        LightningEvaluator(Odd())


def test_batches_too_small_for_the_task_are_refused(bars: Task, own: Task) -> None:
    single = Training(batch_size=1)
    with pytest.raises(ConfigurationError, match=r"^training\.batch_size: 1 is too small"):
        LightningEvaluator(bars, single)
    LightningEvaluator(own, single)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "checkpoint_every"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_settings_are_positive_integers(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"training.{name} is {value!r}"):
        Training(**{name: value})


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU here")
def test_a_gpu_that_torch_does_not_see_is_told(own: Task, tmp_path: Path) -> None:
    context = Context(tmp_path / "0", report=lambda _: None, device="cuda")
    with pytest.raises(EvaluationError, match=r"sees none on this node.*resources\.gpus: 0"):
        LightningEvaluator(own, Training(epochs=1)).evaluate(OWN, context)


def test_what_a_broken_attempt_left_goes_when_the_training_is_over(
    own: Task, tmp_path: Path
) -> None:
    folder = tmp_path / "0"
    folder.mkdir()
    (folder / ".last.ckpt.0123.partial").write_bytes(b"half")
    context = Context(folder, report=lambda _: None)
    LightningEvaluator(own, Training(epochs=1)).evaluate(OWN, context)
    assert [path.name for path in folder.iterdir()] == ["weights.safetensors"]
