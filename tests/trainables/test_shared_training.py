from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning import seed_everything
from safetensors.torch import load_file

from phylon.search import (
    Architecture,
    Block,
    Candidate,
    Choice,
    Context,
    Float,
    Integer,
    Measurement,
    Repeat,
    SearchSpace,
)
from phylon.search.decisions import decisions
from phylon.search.errors import ConfigurationError, EvaluationError
from phylon.trainables import ImageTask, LightningEvaluator, Task, Training, nasbench201_space
from phylon.trainables.fair_round import fair_round
from phylon.trainables.sharing import Sharing
from phylon.trainables.supernet_evaluator import SupernetEvaluator
from tests.trainables.lines import SPACE, Fit, FitInEpochs, Lines

CELLS = nasbench201_space(cells=1, channels=4)
WHOLE = Candidate(0, Architecture({}), phase="supernet", seed=3)
KINDS = ("uniform", "fair", "enas")
kinds = pytest.mark.parametrize("kind", KINDS)


class Killed(BaseException):
    """Raised while reporting, as when a worker is killed."""


def evaluator(kind: Any, task: Task, space: SearchSpace, epochs: int = 4) -> SupernetEvaluator:
    trained = LightningEvaluator(task, Training(batch_size=16))
    return SupernetEvaluator(trained, space, Sharing(kind, epochs, calibration=2, samples=5))


def train(
    made: SupernetEvaluator, folder: Path, watch: Callable[[Measurement], object] = bool
) -> list[Measurement]:
    found: list[Measurement] = []

    def report(measurement: Measurement) -> None:
        found.append(measurement)
        watch(measurement)

    made.evaluate(WHOLE, Context(folder, report))
    return found


@kinds
def test_every_epoch_tells_how_the_weights_and_a_path_do(
    bars: ImageTask, tmp_path: Path, kind: str
) -> None:
    made = evaluator(kind, bars, CELLS)
    found = train(made, tmp_path)
    told = [{"loss", "path_val_loss", "path_val_accuracy", "params"}] * 4
    if kind == "enas":  # whose controller learns in the second half
        told[2:] = [each | {"reward", "baseline", "controller_entropy"} for each in told[2:]]
        assert 0 < found[-1].metrics["controller_entropy"] <= np.log(5)
        assert 0 < found[-1].metrics["reward"] <= 1
    assert [m.step for m in found] == [1, 2, 3, 4]
    assert [m.checkpoint for m in found] == [*["last.ckpt"] * 3, "weights.safetensors"]
    assert [set(m.metrics) for m in found] == told
    assert all(m.seconds > 0 for m in found)
    assert found[-1].metrics["loss"] < found[0].metrics["loss"]
    names = {"weights.safetensors"} | ({"advice.json"} if kind == "enas" else set())
    assert {path.name for path in tmp_path.iterdir()} == names
    expected = bars.supernet(CELLS).state_dict()
    weights = load_file(tmp_path / "weights.safetensors")
    assert {n: t.shape for n, t in weights.items()} == {n: t.shape for n, t in expected.items()}
    assert train(made, tmp_path) == found, "what is finished is reported again, not repeated"


@pytest.mark.parametrize(
    ("kind", "cells"), [("uniform", False), ("fair", False), ("enas", False), ("enas", True)]
)
def test_an_interrupted_training_ends_as_if_it_had_not_been(
    bars: ImageTask, tmp_path: Path, kind: str, cells: bool
) -> None:
    task, space = (bars, CELLS) if cells else (Lines(), SPACE)
    expected = train(evaluator(kind, task, space), tmp_path / "whole")

    seen: list[Measurement] = []

    def kill(measurement: Measurement) -> None:
        seen.append(measurement)
        if measurement.step == 2:
            raise Killed

    with pytest.raises(Killed):
        train(evaluator(kind, task, space), tmp_path / "killed", kill)
    torch.rand(7)
    resumed = train(evaluator(kind, task, space), tmp_path / "killed")
    assert resumed[:2] == seen, "what is in the checkpoint was trained again"
    assert [(m.step, m.metrics) for m in resumed] == [(m.step, m.metrics) for m in expected]
    names = ["weights.safetensors"] + ["advice.json"] * (kind == "enas")
    for name in names:
        whole, again = (tmp_path / each / name for each in ("whole", "killed"))
        if name.endswith("json"):
            assert whole.read_text() == again.read_text()
        else:
            pairs = load_file(whole), load_file(again)
            assert all(torch.equal(pairs[0][each], pairs[1][each]) for each in pairs[0])


def weights_after_a_step(kind: str, tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the weights before and after a training of one epoch that is one step."""
    task = Lines(dropout=0.0)
    trained = LightningEvaluator(task, Training(batch_size=42))
    made = SupernetEvaluator(trained, SPACE, Sharing(kind, epochs=1))  # type: ignore[arg-type]
    train(made, tmp_path)
    seed_everything(WHOLE.seed, verbose=False)
    return task.supernet(SPACE).state_dict(), load_file(tmp_path / "weights.safetensors")


def test_a_uniform_step_trains_one_path_and_a_fair_one_every_option(tmp_path: Path) -> None:
    def changed(kind: str) -> set[str]:
        before, after = weights_after_a_step(kind, tmp_path / kind)
        return {name for name in before if not torch.equal(before[name], after[name])}

    options = {f"network.0.{name}.0.weight" for name in "abc"}
    assert len(changed("uniform") & options) == 1
    assert changed("fair") >= {*options, "network.1.linear.weight"}


CONDITIONAL = SearchSpace(
    kind=Choice(plain=Block(size=Choice(1, 2, 3)), wide=Block(act=Choice("a", "b"))),
    stages=Repeat(Block(op=Choice("x", "y", "z", "w")), 2, 2),
    width=Integer(1, 7, step=2),
    rate=Float(0.1, 1.0),
)


@given(st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_in_a_fair_round_all_options_have_their_turn(seed: int) -> None:
    edges = Counter[tuple[str, int]]()
    for path in fair_round(CELLS, np.random.default_rng(seed)):
        edges.update((each.place, each.taken) for each in decisions(CELLS, path))
    assert {*edges.values()} == {1}
    assert len(edges) == 6 * 5
    turns = Counter[tuple[str, int, int]]()
    paths = fair_round(CONDITIONAL, np.random.default_rng(seed))
    assert all(path in CONDITIONAL for path in paths)
    options = {}
    for path in paths:
        met = Counter[str]()
        for each in decisions(CONDITIONAL, path):
            turns[each.place, met[each.place], each.taken] += 1
            options[each.place, met[each.place]] = each.options
            met[each.place] += 1
    del options["rate", 0]  # whose ranges may be left by rounding
    for (place, item), number in options.items():
        taken = [turns[place, item, option] for option in range(number)]
        assert max(taken) - min(taken) <= 1, place


@pytest.mark.parametrize("module", [Fit, FitInEpochs])
def test_the_learning_rate_follows_the_schedule_of_the_task(
    tmp_path: Path, module: type[Fit]
) -> None:
    made: list[Fit] = []

    class Remembering(module):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    task = Lines(module=Remembering)
    found = train(evaluator("uniform", task, SPACE), tmp_path / "shared")
    shared = made[-1].rates
    assert len(shared) == 4 * 3
    if module is FitInEpochs:  # each epoch is of 3 steps, and worse than the one before or not
        losses = [m.metrics["loss"] for m in found]
        best, rates = np.inf, [0.05]
        for loss in losses[:3]:
            rates.append(rates[-1] / (1 if loss < best * 0.9999 else 2))
            best = min(best, loss)
        assert shared == np.repeat(rates, 3).tolist()
        return
    alone = Candidate(1, SPACE.sample(np.random.default_rng(0)))
    trained = LightningEvaluator(task, Training(epochs=4, batch_size=16))
    trained.evaluate(alone, Context(tmp_path / "alone", bool))
    assert shared == made[-1].rates


def test_a_broken_loss_goes_back_once_to_half_the_learning_rate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = train(evaluator("uniform", Lines(fault="nan above"), SPACE), tmp_path / "0")
    assert [m.step for m in expected] == [1, 1, 2, 3, 4]
    assert expected[0] == expected[1], "what was measured before is reported again"
    assert all(np.isfinite(m.metrics["loss"]) for m in expected)
    (told,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert "nan in epoch 2 at step 1, with learning rate 0.045" in told
    with pytest.raises(EvaluationError, match=r"(?s)epoch 2 at step 1.*0\.0225.*again from") as it:
        train(evaluator("uniform", Lines(fault="nan always"), SPACE), tmp_path / "1")
    assert "half the learning rate" in str(it.value)


def test_halved_learning_rates_outlive_an_interruption(tmp_path: Path) -> None:
    def kill(measurement: Measurement) -> None:
        if measurement.step == 3:
            raise Killed

    def task() -> Lines:
        return Lines(fault="nan above")

    expected = train(evaluator("uniform", task(), SPACE), tmp_path / "whole")
    with pytest.raises(Killed):
        train(evaluator("uniform", task(), SPACE), tmp_path / "killed", kill)
    resumed = train(evaluator("uniform", task(), SPACE), tmp_path / "killed")
    assert [m.metrics for m in resumed] == [m.metrics for m in expected[1:]]


def test_a_module_that_optimizes_by_hand_is_refused(tmp_path: Path) -> None:
    class ByHand(Fit):
        automatic_optimization = False

    with pytest.raises(ConfigurationError, match="ByHand optimizes by hand"):
        train(evaluator("uniform", Lines(module=ByHand), SPACE), tmp_path)


def test_a_training_of_another_kind_or_space_starts_over(
    bars: ImageTask, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(evaluator("uniform", bars, CELLS, epochs=1), tmp_path)
    other = nasbench201_space(cells=1, channels=2)
    for made in (evaluator("fair", bars, CELLS, 1), evaluator("fair", bars, other, 1)):
        assert train(made, tmp_path)[-1].step == 1
        assert "it is of another training" in caplog.text
        caplog.clear()
