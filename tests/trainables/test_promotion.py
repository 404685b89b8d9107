"""Stopping early and going on as another candidate gives what training through gives."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from phylon.search import Architecture, Candidate, Context, Measurement
from phylon.trainables import ImageTask, LightningEvaluator, Task, Training

Evaluate = Callable[..., list[Measurement]]
OWN = Candidate(0, Architecture({"width": 8}), seed=3)


class Killed(BaseException):
    """Raised while reporting, as when a worker is killed."""


@pytest.fixture
def rungs(small: Architecture) -> list[Candidate]:
    """A candidate and its promotions, to 1, 3 and 5 epochs."""
    return promotions(Candidate(0, small, seed=5, epochs=1))


def promotions(first: Candidate) -> list[Candidate]:
    return [
        replace(first, epochs=1),
        replace(first, id=1, epochs=3, continues=0),
        replace(first, id=2, epochs=5, continues=1),
    ]


def results(measurements: list[Measurement]) -> list[tuple[int, dict[str, float]]]:
    return [(m.step, m.metrics) for m in measurements]


def check_equal(folder: Path, *others: str) -> None:
    """The weights in these folders are those of `whole`."""
    expected = load_file(folder / "whole" / "weights.safetensors")
    for other in others:
        found = load_file(folder / other / "weights.safetensors")
        assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("owned", [False, True], ids=["images", "own module and loader"])
def test_three_rungs_give_what_training_through_gives(
    bars: ImageTask,
    rungs: list[Candidate],
    evaluate: Evaluate,
    tmp_path: Path,
    own: Task,
    owned: bool,
) -> None:
    task = own if owned else bars
    evaluator = LightningEvaluator(task, Training(epochs=5, batch_size=16))
    rungs = promotions(OWN) if owned else rungs
    whole = evaluate(evaluator, "whole", replace(rungs[0], epochs=None))
    for rung in rungs:
        torch.rand(7)
        measured = evaluate(evaluator, str(rung.id), rung)
        assert results(measured) == results(whole)[: rung.epochs]
        assert measured[-1].checkpoint == "weights.safetensors"
    check_equal(tmp_path, "2")
    files = [{path.name for path in (tmp_path / name).iterdir()} for name in "012"]
    early = {"weights.safetensors", "last.ckpt"}
    assert files == [early, early, {"weights.safetensors"}]


def test_a_promotion_trains_only_what_it_adds(
    bars: ImageTask, rungs: list[Candidate], evaluate: Evaluate
) -> None:
    evaluator = LightningEvaluator(bars, Training(epochs=5, batch_size=16))
    evaluate(evaluator, "0", rungs[0])
    seconds = [measurement.seconds for measurement in evaluate(evaluator, "1", rungs[1])]
    assert seconds[0] == 0
    assert all(value > 0 for value in seconds[1:])


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_an_interrupted_promotion_ends_as_if_it_had_not_been(
    bars: ImageTask, rungs: list[Candidate], evaluate: Evaluate, tmp_path: Path, killed_at: int
) -> None:
    evaluator = LightningEvaluator(bars, Training(epochs=3, batch_size=16, checkpoint_every=2))
    whole = evaluate(evaluator, "whole", replace(rungs[0], epochs=None))

    def kill(measurement: Measurement) -> None:
        if measurement.step == killed_at:
            raise Killed

    evaluate(evaluator, "0", rungs[0])
    with pytest.raises(Killed):
        evaluator.evaluate(rungs[1], Context(tmp_path / "1", kill))
    assert results(evaluate(evaluator, "1", rungs[1])) == results(whole)
    check_equal(tmp_path, "1")


@pytest.mark.parametrize("damage", ["gone", "truncated", "of another seed"])
def test_without_its_predecessors_checkpoint_it_trains_from_the_beginning(
    bars: ImageTask,
    rungs: list[Candidate],
    evaluate: Evaluate,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    evaluator = LightningEvaluator(bars, Training(epochs=3, batch_size=16))
    whole = evaluate(evaluator, "whole", replace(rungs[0], epochs=None))
    evaluate(evaluator, "0", replace(rungs[0], seed=9) if "seed" in damage else rungs[0])
    checkpoint = tmp_path / "0" / "last.ckpt"
    if damage == "gone":
        shutil.rmtree(tmp_path / "0")
    elif damage == "truncated":
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    measured = evaluate(evaluator, "1", rungs[1])
    assert results(measured) == results(whole)
    assert all(measurement.seconds > 0 for measurement in measured)
    check_equal(tmp_path, "1")
    assert f"training starts over without `{checkpoint}`" in caplog.text


def test_a_module_that_ends_its_training_itself_is_not_made_to_go_on(
    failing: Task, evaluate: Evaluate
) -> None:
    evaluator = LightningEvaluator(failing, Training(epochs=9))
    stopping = Candidate(0, Architecture({"width": 8, "fault": "stop"}), seed=1)
    whole = evaluate(evaluator, "whole", stopping)
    assert len(whole) == 2
    for rung in promotions(stopping):
        measured = evaluate(evaluator, str(rung.id), rung)
        assert results(measured) == results(whole)[: rung.epochs]


def test_final_candidates_have_a_schedule_of_their_own(
    bars: ImageTask, small: Architecture, evaluate: Evaluate
) -> None:
    short = LightningEvaluator(bars, Training(epochs=2, batch_size=16))
    long = LightningEvaluator(bars, Training(epochs=6, batch_size=16))
    final = Candidate(0, small, seed=5, epochs=6, phase="final")
    search = replace(final, epochs=None, phase="search")
    assert results(evaluate(short, "a", final)) == results(evaluate(long, "b", search))
    final = replace(final, epochs=2)
    assert results(evaluate(long, "c", final)) == results(evaluate(short, "d", search))
