"""Children begin with what their parents learned, under settings of their own."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from phylon.cluster.location import Location
from phylon.cluster.weights import read_weights
from phylon.search import Architecture, Candidate, Context, Measurement
from phylon.search.variation import mutate
from phylon.trainables import ImageTask, LightningEvaluator, Training
from phylon.trainables.folder import CandidateFolder
from phylon.trainables.heritage import Heritage, keep
from tests.trainables.heirs import HeirTask, heir, train

PUBLISHED = ("weights.safetensors", "optimizer.safetensors")


class Killed(BaseException):
    """Raised while reporting, as when a worker is killed."""


def evaluator(task: HeirTask | ImageTask, epochs: int = 2) -> LightningEvaluator:
    training = Training(epochs, batch_size=16, checkpoint_every=1)
    return LightningEvaluator(task, training, inherits=True)


def results(measurements: list[Measurement]) -> list[tuple[int, dict[str, float], str]]:
    return [(each.step, each.metrics, each.note) for each in measurements]


def files(study: Path, number: int) -> list[dict[str, torch.Tensor]]:
    folder = study / "candidates" / str(number)
    return [load_file(folder / name) for name in PUBLISHED]


@pytest.fixture
def parent(tmp_path: Path) -> HeirTask:
    """The task of a trained candidate 0."""
    task = HeirTask()
    train(evaluator(task), heir(), tmp_path)
    return task


def test_a_child_goes_on_with_weights_and_momenta_under_its_own_settings(
    parent: HeirTask, tmp_path: Path
) -> None:
    child = heir(1, 0, learning_rate=0.005, weight_decay=0.3)
    measured = train(evaluator(parent), child, tmp_path)
    fresh = replace(child, id=2, inherit_from=None)
    unrelated = train(evaluator(parent), fresh, tmp_path)
    assert [each.metrics["inherited_share"] for each in measured] == [1.0, 1.0]
    assert all("inherited_share" not in each.metrics for each in unrelated)
    weights, kept = files(tmp_path, 0)
    _, seen, alone = parent.seen
    assert seen.weights.keys() == weights.keys()
    assert all(torch.equal(seen.weights[name], weights[name]) for name in weights)
    assert len(kept) == 3 * len(seen.state) == 12
    for name, state in seen.state.items():
        assert state.keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(it, kept[f"{kind}:{name}"]) for kind, it in state.items())
    assert seen.settings == alone.settings
    assert len(seen.settings) == 6
    assert {decay for _, decay in seen.settings} == {0.3}
    assert not alone.state
    assert not torch.equal(alone.weights["head.weight"], seen.weights["head.weight"])


@pytest.mark.parametrize(
    ("before", "after", "goes_on"),
    [
        ("sgd", "sgd", True),
        ("rmsprop with momentum", "rmsprop with momentum", True),
        ("nadam", "nadam", True),
        ("adamw", "sgd", False),
        ("sgd", "adamw", False),
        ("rmsprop", "rmsprop with momentum", False),
        ("rmsprop with momentum", "rmsprop", False),
    ],
)
def test_an_optimizer_goes_on_with_what_it_would_keep_itself(
    tmp_path: Path, before: str, after: str, goes_on: bool
) -> None:
    task = HeirTask()
    train(evaluator(task), heir(optimizer=before), tmp_path)
    measured = train(evaluator(task), heir(1, 0, optimizer=after), tmp_path)
    assert measured[-1].metrics["inherited_share"] == 1.0
    assert bool(task.seen[-1].state) == goes_on


def test_parameters_that_changed_their_shape_begin_without_momenta(
    parent: HeirTask, tmp_path: Path
) -> None:
    (*_, last) = train(evaluator(parent), heir(1, 0, width=12), tmp_path)
    assert 0 < last.metrics["inherited_share"] < 1
    assert parent.seen[-1].state.keys() == {"head.bias"}


@pytest.mark.parametrize("fused", [False, True])
def test_momenta_are_the_same_however_tensors_lie_in_memory(tmp_path: Path, *, fused: bool) -> None:
    parent, child = (nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last) for _ in range(2))
    theirs, ours = (torch.optim.AdamW(it.parameters(), fused=fused) for it in (parent, child))
    pictures = torch.randn(2, 3, 5, 5)

    def step(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        network(pictures).square().sum().backward()
        optimizer.step()

    step(parent, theirs)
    child.load_state_dict(parent.state_dict())
    CandidateFolder(tmp_path, heir(), 1, 16).save_optimizer(keep(parent, [theirs]))
    kept: defaultdict[str, dict[str, torch.Tensor]] = defaultdict(dict)
    for name, tensor in load_file(tmp_path / "optimizer.safetensors").items():
        kind, _, parameter = name.partition(":")
        kept[parameter][kind] = tensor
    Heritage(1.0, kept=kept).hand_over(child, [ours])
    step(parent, theirs)
    step(child, ours)
    assert torch.equal(parent.weight, child.weight)


@pytest.mark.parametrize("kind", ["exp_avg", "exp_avg_sq"])
def test_momenta_that_are_not_finite_are_left_behind(
    parent: HeirTask, tmp_path: Path, kind: str
) -> None:
    published = read_weights(Location(tmp_path), 0)
    broken = {**published.optimizer, f"{kind}:head.weight": np.full((1, 8), np.inf, np.float32)}
    context = Context(
        tmp_path / "candidates" / "1", print, weights=lambda _: replace(published, optimizer=broken)
    )
    evaluator(parent).evaluate(heir(1, 0), context)
    assert parent.seen[-1].state.keys() == {"layers.0.weight", "layers.0.bias", "head.bias"}


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_an_interrupted_child_ends_as_if_it_had_not_been(
    bars: ImageTask, small: Architecture, tmp_path: Path, killed_at: int
) -> None:
    assert bars.space
    heirs = evaluator(bars, epochs=3)
    train(heirs, Candidate(0, small, seed=5), tmp_path)
    child = mutate(bars.space, small, rng=np.random.default_rng(killed_at))
    whole = train(heirs, Candidate(1, child, seed=6, inherit_from=0), tmp_path)

    def kill(measurement: Measurement) -> None:
        if measurement.step == killed_at:
            raise Killed

    again = Candidate(2, child, seed=6, inherit_from=0)
    with pytest.raises(Killed):
        train(heirs, again, tmp_path, kill)
    torch.rand(7)
    assert results(train(heirs, again, tmp_path)) == results(whole)
    assert whole[0].metrics["inherited_share"] > 0
    for first, second in zip(files(tmp_path, 1), files(tmp_path, 2), strict=True):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_interrupted_child_keeps_to_what_it_began_with(tmp_path: Path) -> None:
    task = HeirTask()

    def kill(_measurement: Measurement) -> None:
        raise Killed

    with pytest.raises(Killed):
        train(evaluator(task), heir(1, 0), tmp_path, kill)
    train(evaluator(task), heir(0), tmp_path)  # the parent is there, too late
    first, second = train(evaluator(task), heir(1, 0), tmp_path)
    assert first.metrics["inherited_share"] == second.metrics["inherited_share"] == 0.0
    assert first.note == second.note != ""


def test_a_promoted_child_keeps_its_share(parent: HeirTask, tmp_path: Path) -> None:
    first = replace(heir(1, 0), epochs=1)
    train(evaluator(parent), first, tmp_path)
    promoted = replace(first, id=2, epochs=2, continues=1)
    measured = train(evaluator(parent), promoted, tmp_path)
    assert [each.metrics["inherited_share"] for each in measured] == [1.0, 1.0]
    whole = train(evaluator(parent), replace(heir(3, 0)), tmp_path)
    assert results(measured) == results(whole)


@pytest.mark.parametrize(
    ("inherits", "phase", "told"),
    [(True, "search", 1), (True, "final", 0), (False, "search", 0)],
)
def test_weights_are_published_when_they_are_whole_and_asked_for(
    tmp_path: Path, inherits: bool, phase: str, told: int
) -> None:
    happened: list[object] = []

    def publish() -> None:
        happened.append(sorted(path.name for path in tmp_path.glob("*.safetensors")))

    def report(measurement: Measurement) -> None:
        happened.append(measurement.step)

    made = LightningEvaluator(HeirTask(), Training(2), inherits=inherits)
    candidate = replace(heir(), phase=phase)
    made.evaluate(candidate, Context(tmp_path, report, publish=publish))
    assert happened == [1, *[sorted(PUBLISHED)] * told, 2]
    assert (tmp_path / "optimizer.safetensors").exists() == bool(told)


def test_an_optimizer_that_takes_no_step_by_itself_begins_afresh(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = HeirTask()
    train(evaluator(task), heir(), tmp_path)
    measured = train(evaluator(task), heir(1, 0, optimizer="lbfgs"), tmp_path)
    assert measured[-1].metrics["inherited_share"] == 1.0
    assert "LBFGS begins without what the parent's kept" in caplog.text
