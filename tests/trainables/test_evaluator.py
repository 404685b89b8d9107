from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from phylon.search import Architecture, Candidate, Context, Evaluator, Measurement, evaluation
from phylon.search.errors import EvaluationError
from phylon.trainables import ImageTask, LightningEvaluator, Task, Training

Evaluate = Callable[..., list[Measurement]]
OWN = Candidate(0, Architecture({"width": 8}), seed=3)


class Killed(BaseException):
    """Raised while reporting, as when a worker is killed."""


def interrupt_after(step: int) -> Callable[[Measurement], None]:
    def report(measurement: Measurement) -> None:
        if measurement.step == step:
            raise Killed

    return report


def test_every_epoch_is_reported_with_what_was_promised(
    bars: ImageTask, evaluate: Evaluate, tmp_path: Path
) -> None:
    evaluator = LightningEvaluator(bars, Training(epochs=3, batch_size=16, checkpoint_every=2))
    assert isinstance(evaluator, Evaluator)
    assert isinstance(evaluator, evaluation.Tester)
    assert isinstance(evaluator, evaluation.Fingerprinted)
    assert isinstance(evaluator, evaluation.NetworkKeeper)
    measurements = evaluate(evaluator)
    assert [m.step for m in measurements] == [1, 2, 3]
    assert [m.checkpoint for m in measurements] == [None, "last.ckpt", "weights.safetensors"]
    for measurement in measurements:
        assert set(evaluator.metrics) <= set(measurement.metrics)
        assert measurement.seconds > 0
    assert [path.name for path in (tmp_path / "candidate").iterdir()] == ["weights.safetensors"]


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
        logits = torch.cat([network(images).detach() for images, _ in batches])
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


@pytest.mark.parametrize("owned", [False, True], ids=["images", "own module and loader"])
@pytest.mark.parametrize(("every", "killed_at"), [(1, 1), (1, 3), (2, 3), (3, 2)])
def test_an_interrupted_training_ends_as_if_it_had_not_been(
    bars: ImageTask,
    small: Architecture,
    evaluate: Evaluate,
    tmp_path: Path,
    own: Task,
    owned: bool,
    every: int,
    killed_at: int,
) -> None:
    task = own if owned else bars
    candidate = OWN if owned else Candidate(0, small, seed=5)
    training = Training(epochs=5, batch_size=16, checkpoint_every=every)
    expected = evaluate(LightningEvaluator(task, training), "whole", candidate)
    context = Context(tmp_path / "killed", interrupt_after(killed_at))
    with pytest.raises(Killed):
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
    with pytest.raises(Killed):
        evaluator.evaluate(Candidate(0, small, seed=5), context)
    path = tmp_path / "candidate" / "last.ckpt"
    whole = path.read_bytes()
    path.write_bytes(
        {"truncated": whole[: len(whole) // 2], "garbage": b"no", "empty": b""}[damage]
    )
    assert [m.step for m in evaluate(evaluator)] == [1, 2, 3]
    assert "starts over" in caplog.text
    assert str(path) in caplog.text


def test_checkpoints_hold_no_pickled_objects(own: Task, tmp_path: Path) -> None:
    evaluator = LightningEvaluator(own, Training(epochs=3, checkpoint_every=1))
    with pytest.raises(Killed):
        evaluator.evaluate(OWN, Context(tmp_path, interrupt_after(2)))
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt"]


def test_tasks_without_test_data_have_no_test_metrics(
    own: Task, evaluate: Evaluate, tmp_path: Path
) -> None:
    evaluator = LightningEvaluator(own, Training(epochs=1))
    evaluate(evaluator, candidate=OWN)
    assert evaluator.test(OWN, Context(tmp_path / "candidate", print)) == {}


def test_untrained_candidates_cannot_be_tested(bars: ImageTask, tmp_path: Path) -> None:
    evaluator = LightningEvaluator(bars)
    candidate = Candidate(0, bars.space.sample(np.random.default_rng(0)))
    with pytest.raises(EvaluationError, match=r"weights.safetensors.*does not exist"):
        evaluator.test(candidate, Context(tmp_path, print))


def test_early_stopping_keeps_the_weights(failing: Task, evaluate: Evaluate) -> None:
    evaluator = LightningEvaluator(failing, Training(epochs=9))
    stopping = Candidate(0, Architecture({"width": 8, "fault": "stop"}))
    measurements = evaluate(evaluator, candidate=stopping)
    assert [m.checkpoint for m in measurements] == [None, "weights.safetensors"]
    assert evaluate(evaluator, candidate=stopping) == measurements


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
    evaluate: Evaluate, bars: ImageTask, own: Task, capfd: pytest.CaptureFixture[str]
) -> None:
    evaluate(LightningEvaluator(bars, Training(epochs=1, batch_size=16)))
    evaluate(LightningEvaluator(own, Training(epochs=1)), "own", OWN)
    assert capfd.readouterr() == ("", "")
