"""Children of the macro space compute what their parents do, where a mutation allows it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from phylon.search import Architecture
from tests.trainables.families import MACRO, Family, family, sampled, seeds

EXACT = 1e-5


def stage(
    kind: str = "plain", width: int = 8, depth: int = 1, pooling: str = "max", kernel: int = 3
) -> dict[str, Any]:
    block = {"type": kind, "kernel": kernel}
    return {"block": block, "depth": depth, "width": width, "pooling": pooling}


def network(*stages: dict[str, Any], activation: str = "relu") -> Architecture:
    decisions = {"stages": list(stages), "activation": activation, "dropout": 0.1}
    return Architecture({**decisions, "learning_rate": 0.01, "weight_decay": 0.001})


def grown(parent: Architecture, seed: int, place: int, **changes: Any) -> Family:
    """Change a stage of a network, that at `place` of them or of those after the last."""
    decisions = parent.nested
    decisions["stages"][place % len(decisions["stages"])] |= changes
    return family(parent, Architecture(decisions), seed)


@settings(max_examples=25)
@given(seed=seeds, place=st.integers(0, 2), width=st.integers(2, 6))
def test_a_wider_stage_computes_the_same(seed: int, place: int, width: int) -> None:
    parent = sampled(MACRO, seed)
    widths = [each["width"] for each in parent["stages"]]
    # As wide as its neighbour, it would lose the projection between them.
    assume(8 * width > widths[place % len(widths)] and 8 * width not in widths)
    heirs = grown(parent, seed, place, width=8 * width)
    assert heirs.difference() < EXACT
    assert heirs.taken.share > 0.9  # all but new projections


@settings(max_examples=25)
@given(seed=seeds, place=st.integers(0, 2), more=st.integers(1, 2))
def test_a_deeper_stage_computes_the_same(seed: int, place: int, more: int) -> None:
    parent = sampled(MACRO, seed, activation="relu")
    deepened = parent["stages"][place % len(parent["stages"])]
    heirs = grown(parent, seed, place, depth=deepened["depth"] + more)
    before = [8, *(each["width"] for each in parent["stages"])][place % len(parent["stages"])]
    # A residual block that halves cannot be split into one that narrows and one that halves.
    assume(
        deepened["block"]["type"] != "residual"
        or deepened["pooling"] != "stride"
        or deepened["depth"] > 1
        or deepened["width"] >= before
    )
    assert heirs.difference() < EXACT


@settings(max_examples=25)
@given(seed=seeds)
def test_larger_kernels_compute_the_same(seed: int) -> None:
    parent = sampled(MACRO, seed)
    decisions = parent.nested
    for each in decisions["stages"]:
        each["block"]["kernel"] = {3: 5, 5: 7}[each["block"]["kernel"]]
    heirs = family(parent, Architecture(decisions), seed)
    assert heirs.difference() < EXACT


@settings(max_examples=12)
@given(
    seed=seeds,
    widths=st.permutations([8, 16, 24]),
    kernel=st.sampled_from([3, 5]),
    kind=st.sampled_from(["plain", "separable"]),
)
def test_a_projection_beside_a_plain_block_begins_with_nothing(
    seed: int, widths: list[int], kernel: int, kind: str
) -> None:
    residual = {"type": "residual", "kernel": 3}
    parent = network(*(stage("plain", width, kernel=kernel) for width in widths))
    assert grown(parent, seed, seed % 2 + 1, block={**residual, "kernel": 5}).difference() < EXACT
    halving = network(stage("plain", pooling="stride"), stage(kind))
    assert grown(halving, seed, 0, block=residual).difference() < EXACT


@settings(max_examples=12)
@given(seed=seeds, activation=st.sampled_from(["relu", "gelu", "silu"]))
def test_other_hyperparameters_change_no_weights(seed: int, activation: str) -> None:
    parent = sampled(MACRO, seed)
    other = sampled(MACRO, seed, dropout=0.33, learning_rate=0.002, activation=activation)
    heirs = family(parent, other, seed)
    assert heirs.taken.share == 1.0
    assert set(heirs.taken.unchanged) == {name for name, _ in heirs.child.named_parameters()}
    assert all(
        torch.equal(tensor, heirs.parent.state_dict()[name])
        for name, tensor in heirs.taken.state.items()
    )


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_other_stages_keep_their_weights_when_one_is_inserted(place: int) -> None:
    stages = [stage("residual", 16), stage("separable", 24, depth=2, kernel=5)]
    longer = [*stages[:place], stage("plain", 16 if place < 2 else 24), *stages[place:]]
    parent = network(*stages)
    heirs = family(parent, network(*longer), seed=1)
    new = f"stages.{place}."
    ours = dict(heirs.child.named_parameters())
    assert {name for name in ours if name not in heirs.taken.unchanged} == {
        name for name in ours if name.startswith(new)
    }
    # What is not negative, as it is after relu, passes its block.
    maps = torch.rand(2, longer[place]["width"], 5, 5)
    blocks = heirs.child.eval().get_submodule(f"{new}blocks")
    torch.testing.assert_close(blocks(maps), maps)


def test_the_other_stages_keep_their_weights_when_one_is_removed() -> None:
    stages = [stage("residual", 16), stage("plain", 16, 2), stage("separable", 16, kernel=5)]
    heirs = family(network(*stages), network(*stages[1:]), seed=1)
    assert heirs.taken.share == 1.0
    assert heirs.taken.unchanged["stages.1.blocks.0.3.0.weight"] == "stages.2.blocks.0.3.0.weight"


def test_another_kind_of_block_keeps_the_main_convolution() -> None:
    parent, weight = network(stage("residual", 16, kernel=5)), "stages.0.blocks.0.body.0.0.weight"
    plain = family(parent, network(stage("plain", 16)), seed=1)
    kernels = plain.parent.state_dict()[weight]
    assert torch.equal(plain.taken.state["stages.0.blocks.0.0.0.weight"], kernels[..., 1:4, 1:4])
    separable = family(parent, network(stage("separable", 16, kernel=3)), seed=1)
    mixed = separable.taken.state["stages.0.blocks.0.3.0.weight"]
    assert torch.equal(mixed, kernels[..., 2:3, 2:3])


def test_a_narrower_stage_keeps_the_first_channels() -> None:
    heirs = grown(network(stage(width=24), stage(width=8)), 1, 0, width=16)
    name = "stages.1.blocks.0.0.0.weight"
    assert heirs.taken.share == 1.0
    assert torch.equal(heirs.taken.state[name], heirs.parent.state_dict()[name][:, :16])


def test_copies_of_a_channel_learn_different_things() -> None:
    heirs = grown(network(stage(width=8), stage("residual", 16)), 1, 0, width=16)
    stem = heirs.child.get_submodule("stem.0")
    weight = stem.get_parameter("weight").detach()
    twins = [
        (one, two)
        for one in range(16)
        for two in range(one)
        if torch.equal(weight[one], weight[two])
    ]
    assert len(twins) == 8
    optimizer = torch.optim.AdamW(heirs.child.train().parameters(), 0.01)
    generator = torch.Generator().manual_seed(0)
    pictures, labels = torch.randn(16, 1, 9, 9, generator=generator), torch.arange(16) % 3
    for _ in range(10):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(heirs.child(pictures), labels).backward()
        optimizer.step()
    apart = [float((weight[one] - weight[two]).abs().max()) for one, two in twins]
    assert min(apart) > 1e-3  # true twins are equal to the last bit, or nearly so
