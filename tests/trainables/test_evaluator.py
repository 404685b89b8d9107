from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from conftest import Evaluate
from pytorch_lightning import LightningDataModule, LightningModule
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from phylon.search import (
    Architecture,
    Candidate,
    Context,
    Evaluator,
    Measurement,
    Tester,
)
from phylon.search.errors import ConfigurationError, EvaluationError
from phylon.trainables import ImageTask, LightningEvaluator, Task, Training


class OwnModule(LightningModule):
    """What a user brings: random in every corner, hyperparameters that are no plain data."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(
            nn.Linear(4, architecture["width"]),
            nn.Dropout(0.5),
            nn.Linear(architecture["width"], 1),
        )

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        inputs, targets = batch
        noise = torch.randn_like(inputs) + np.random.rand()  # noqa: NPY002
        return (self.layers(inputs + 0.1 * noise) - targets).square().mean()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        inputs, targets = batch
        self.log("val_loss", (self.layers(inputs) - targets).square().mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"},
        }


class OwnData(LightningDataModule):
    def __init__(self, batch_size: int) -> None:
        super().__init__()
        inputs = torch.linspace(-1, 1, 160).reshape(40, 4)
        self.data = TensorDataset(inputs, inputs.sum(dim=1, keepdim=True))
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.data, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.data, self.batch_size)


class OwnTask(Task):
    metrics = ("val_loss",)

    def build(self, architecture: Architecture) -> nn.Module:
        return OwnModule(architecture)

    def datamodule(self, seed: int, batch_size: int) -> LightningDataModule:
        return OwnData(batch_size)


OWN = Candidate(0, Architecture({"width": 8}), seed=3)


class Interrupted(Exception):
    """Raised while reporting, as when a worker is killed."""


def interrupt_after(step: int) -> Callable[[Measurement], None]:
    def report(measurement: Measurement) -> None:
        if measurement.step == step:
            raise Interrupted

    return report


def test_every_epoch_is_reported_with_what_was_promised(
    bars: ImageTask, evaluate: Evaluate, tmp_path: Path
) -> None:
    evaluator = LightningEvaluator(bars, Training(epochs=3, batch_size=16, checkpoint_every=2))
    assert isinstance(evaluator, Evaluator)
    assert isinstance(evaluator, Tester)
    measurements = evaluate(evaluator)
    assert [m.step for m in measurements] == [1, 2, 3]
    assert [m.checkpoint for m in measurements] == [None, "last.ckpt", "weights.safetensors"]
    for measurement in measurements:
        assert set(evaluator.metrics) <= set(measurement.metrics)
        assert measurement.seconds > 0
    assert os.listdir(tmp_path / "candidate") == ["weights.safetensors"]  # noqa: PTH208


def test_params_and_macs_are_those_of_one_picture(bars: ImageTask, evaluate: Evaluate) -> None:
    metrics = evaluate(LightningEvaluator(bars, Training(epochs=1, batch_size=16)))[-1].metrics
    stem, block, head = 8 * 1 * 9, 8 * 8 * 9, 8 * 2
    assert metrics["params"] == stem + block + 2 * (2 * 8) + head + 2
    assert metrics["macs"] == 36 * (stem + block) + head


def test_the_network_learns(bars: ImageTask, evaluate: Evaluate) -> None:
    evaluator = LightningEvaluator(bars, Training(epochs=12, batch_size=16))
    assert evaluate(evaluator)[-1].metrics["val_accuracy"] > 0.9


def test_accuracy_and_loss_are_over_the_whole_split(
    bars: ImageTask, evaluate: Evaluate, small: Architecture, tmp_path: Path
) -> None:
    evaluator = LightningEvaluator(bars, Training(epochs=2, batch_size=5), seed=4)
    measurement = evaluate(evaluator)[-1]
    candidate = Candidate(0, small, seed=5)
    network, example = evaluator.network(candidate, tmp_path / "candidate")
    assert example.shape == (1, 1, 6, 6)
    data = bars.datamodule(4, 5)
    for split, loader in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
        batches = [data.on_after_batch_transfer(batch, 0) for batch in loader]
        logits = torch.cat([network(images) for images, _ in batches])
        labels = torch.cat([labels for _, labels in batches])
        accuracy = float((logits.argmax(dim=1) == labels).double().mean())
        if split == "val":
            loss = float(nn.functional.cross_entropy(logits, labels))
            assert measurement.metrics["val_loss"] == pytest.approx(loss, rel=1e-5)
            assert measurement.metrics["val_accuracy"] == pytest.approx(accuracy)
        else:
            tested = evaluator.test(candidate, Context(tmp_path / "candidate", print))
            assert tested == {"test_accuracy": pytest.approx(accuracy)}


def test_the_same_candidate_gives_the_same_metrics_and_another_seed_others(
    bars: ImageTask, evaluate: Evaluate, small: Architecture
) -> None:
    def metrics(folder: str, seed: int) -> list[dict[str, float]]:
        evaluator = LightningEvaluator(bars, Training(epochs=2, batch_size=16))
        measurements = evaluate(evaluator, folder, Candidate(0, small, seed=seed))
        return [m.metrics for m in measurements]

    assert metrics("a", 1) == metrics("b", 1) != metrics("c", 2)


@pytest.mark.parametrize("own", [False, True], ids=["images", "own module and loader"])
@pytest.mark.parametrize(("every", "killed_at"), [(1, 1), (1, 3), (2, 3), (3, 2)])
def test_an_interrupted_training_ends_as_if_it_had_not_been(
    bars: ImageTask,
    small: Architecture,
    evaluate: Evaluate,
    tmp_path: Path,
    own: bool,
    every: int,
    killed_at: int,
) -> None:
    task = OwnTask() if own else bars
    candidate = OWN if own else Candidate(0, small, seed=5)
    training = Training(epochs=5, batch_size=16, checkpoint_every=every)
    expected = evaluate(LightningEvaluator(task, training), "whole", candidate)
    context = Context(tmp_path / "killed", interrupt_after(killed_at))
    with pytest.raises(Interrupted):
        LightningEvaluator(task, training).evaluate(candidate, context)
    torch.rand(7)
    resumed = evaluate(LightningEvaluator(task, training), "killed", candidate)
    assert [(m.step, m.metrics) for m in resumed] == [(m.step, m.metrics) for m in expected]
    weights = [load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "killed")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_finished_candidate_is_reported_again_and_not_trained(
    bars: ImageTask, evaluate: Evaluate, tmp_path: Path
) -> None:
    evaluator = LightningEvaluator(bars, Training(epochs=2, batch_size=16))
    first = evaluate(evaluator)
    written = (tmp_path / "candidate" / "weights.safetensors").stat().st_mtime_ns
    assert evaluate(evaluator) == first
    assert (tmp_path / "candidate" / "weights.safetensors").stat().st_mtime_ns == written


@pytest.mark.parametrize("other", ["seed", "epochs", "architecture"])
def test_what_another_training_left_is_not_taken_up(
    bars: ImageTask, evaluate: Evaluate, small: Architecture, other: str
) -> None:
    evaluator = LightningEvaluator(bars, Training(epochs=2, batch_size=16))
    evaluate(evaluator)
    candidate = {
        "seed": Candidate(0, small, seed=6),
        "epochs": Candidate(0, small, seed=5, epochs=1),
        "architecture": Candidate(0, Architecture({**small.nested, "activation": "silu"}), seed=5),
    }[other]
    assert [m.metrics for m in evaluate(evaluator, candidate=candidate)] == [
        m.metrics for m in evaluate(evaluator, "fresh", candidate)
    ]


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty"])
def test_a_damaged_checkpoint_only_costs_time(
    bars: ImageTask,
    small: Architecture,
    evaluate: Evaluate,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    evaluator = LightningEvaluator(bars, Training(epochs=3, batch_size=16, checkpoint_every=1))
    context = Context(tmp_path / "candidate", interrupt_after(2))
    with pytest.raises(Interrupted):
        evaluator.evaluate(Candidate(0, small, seed=5), context)
    path = tmp_path / "candidate" / "last.ckpt"
    whole = path.read_bytes()
    path.write_bytes(
        {"truncated": whole[: len(whole) // 2], "garbage": b"no", "empty": b""}[damage]
    )
    assert [m.step for m in evaluate(evaluator)] == [1, 2, 3]
    assert "starts over" in caplog.text
    assert str(path) in caplog.text


def test_checkpoints_hold_no_pickled_objects(tmp_path: Path) -> None:
    evaluator = LightningEvaluator(OwnTask(), Training(epochs=3, checkpoint_every=1))
    with pytest.raises(Interrupted):
        evaluator.evaluate(OWN, Context(tmp_path, interrupt_after(2)))
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt"]


class Failing(OwnModule):
    """Goes wrong in the way that its architecture names."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        fault = self.hparams["architecture"]["fault"]
        if self.current_epoch == 1 and batch_idx == 1:
            if fault == "nan":
                return loss * float("nan")
            if fault == "memory":
                torch.empty(10**15)
            if fault == "cuda memory":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
            if fault == "bug":
                raise ZeroDivisionError("mine")
            if fault == "ctrl-c":
                signal.raise_signal(signal.SIGINT)
        return loss


class FailingTask(OwnTask):
    def build(self, architecture: Architecture) -> nn.Module:
        return Failing(architecture)


@pytest.mark.parametrize(
    ("fault", "error", "told"),
    [
        ("nan", EvaluationError, r"nan in epoch 2 at step 2, with learning rate 0.05"),
        ("memory", EvaluationError, "out of memory on cpu.*batch_size"),
        ("cuda memory", EvaluationError, "out of memory.*1 GiB"),
        ("bug", ZeroDivisionError, "mine"),
        ("ctrl-c", KeyboardInterrupt, ""),
    ],
)
def test_what_goes_wrong_in_a_task_is_told(
    evaluate: Evaluate, fault: str, error: type[BaseException], told: str
) -> None:
    evaluator = LightningEvaluator(FailingTask(), Training(epochs=3, batch_size=10))
    handler = signal.getsignal(signal.SIGINT)
    broken = Candidate(0, Architecture({"width": 8, "fault": fault}))
    with pytest.raises(error, match=told):
        evaluate(evaluator, candidate=broken)
    assert signal.getsignal(signal.SIGINT) is handler
    sound = Candidate(1, Architecture({"width": 8, "fault": "none"}))
    assert len(evaluate(evaluator, "next", sound)) == 3


def test_a_metric_that_is_promised_but_not_logged_is_told(evaluate: Evaluate) -> None:
    class Promising(OwnTask):
        metrics = ("val_accuracy",)

    with pytest.raises(EvaluationError, match=r"`val_accuracy`.*logged: val_loss.*self.log"):
        evaluate(LightningEvaluator(Promising(), Training(epochs=1)), candidate=OWN)


def test_a_task_without_validation_is_told(evaluate: Evaluate) -> None:
    class Blind(OwnTask):
        def datamodule(self, seed: int, batch_size: int) -> LightningDataModule:
            return LightningDataModule.from_datasets(OwnData(batch_size).data, batch_size=8)

    with pytest.raises(EvaluationError, match="val_loss"):
        evaluate(LightningEvaluator(Blind(), Training(epochs=1)), candidate=OWN)


def test_a_network_without_a_module_is_told(evaluate: Evaluate) -> None:
    class Bare(OwnTask):
        def build(self, architecture: Architecture) -> nn.Module:
            return nn.Linear(4, 1)

    with pytest.raises(ConfigurationError, match=r"Linear.*Bare.lightning_module"):
        evaluate(LightningEvaluator(Bare()), candidate=OWN)


@pytest.mark.parametrize("metrics", [(), "val_loss", ("val_loss", "params")])
def test_tasks_must_name_their_own_metrics(metrics: Any) -> None:
    class Odd(OwnTask):
        pass

    Odd.metrics = metrics
    with pytest.raises(ConfigurationError, match="Odd.metrics"):
        LightningEvaluator(Odd())


@pytest.mark.parametrize("name", ["epochs", "batch_size", "checkpoint_every"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_settings_are_positive_integers(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"training.{name} is {value!r}"):
        Training(**{name: value})


def test_tasks_without_test_data_have_no_test_metrics(evaluate: Evaluate, tmp_path: Path) -> None:
    evaluator = LightningEvaluator(OwnTask(), Training(epochs=1))
    evaluate(evaluator, candidate=OWN)
    assert evaluator.test(OWN, Context(tmp_path / "candidate", print)) == {}


def test_untrained_candidates_cannot_be_tested(bars: ImageTask, tmp_path: Path) -> None:
    evaluator = LightningEvaluator(bars)
    candidate = Candidate(0, bars.space.sample(np.random.default_rng(0)))
    with pytest.raises(EvaluationError, match=r"weights.safetensors.*does not exist"):
        evaluator.test(candidate, Context(tmp_path, print))


def test_early_stopping_of_an_own_module_keeps_its_weights(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    class Stopping(OwnModule):
        def on_train_epoch_end(self) -> None:
            self.trainer.should_stop = self.current_epoch == 1

    class StoppingTask(OwnTask):
        def build(self, architecture: Architecture) -> nn.Module:
            return Stopping(architecture)

    evaluator = LightningEvaluator(StoppingTask(), Training(epochs=9))
    measurements = evaluate(evaluator, candidate=OWN)
    assert [m.checkpoint for m in measurements] == [None, "weights.safetensors"]
    assert evaluate(evaluator, candidate=OWN) == measurements


def test_it_works_away_from_the_main_thread(bars: ImageTask, evaluate: Evaluate) -> None:
    evaluator = LightningEvaluator(bars, Training(epochs=2, batch_size=16))
    expected = evaluate(evaluator, "main")
    found: list[Measurement] = []
    thread = threading.Thread(target=lambda: found.extend(evaluate(evaluator, "thread")))
    thread.start()
    thread.join()
    assert [m.metrics for m in found] == [m.metrics for m in expected]


def test_it_travels_with_its_data_beside_it(bars: ImageTask, evaluate: Evaluate) -> None:
    evaluator = LightningEvaluator(bars, Training(epochs=1, batch_size=16))
    expected = evaluate(evaluator, "here")
    buffers: list[pickle.PickleBuffer] = []
    text = cloudpickle.dumps(evaluator, protocol=5, buffer_callback=buffers.append)
    assert sum(buffer.raw().nbytes for buffer in buffers) >= bars.dataset.images.nbytes
    assert len(text) < 4000
    there = cloudpickle.loads(text, buffers=[bytes(buffer.raw()) for buffer in buffers])
    assert [m.metrics for m in evaluate(there, "there")] == [m.metrics for m in expected]


def test_nothing_is_said_about_ordinary_runs(
    evaluate: Evaluate, bars: ImageTask, capfd: pytest.CaptureFixture[str]
) -> None:
    evaluate(LightningEvaluator(bars, Training(epochs=1, batch_size=16)))
    evaluate(LightningEvaluator(OwnTask(), Training(epochs=1)), "own", OWN)
    assert capfd.readouterr() == ("", "")
