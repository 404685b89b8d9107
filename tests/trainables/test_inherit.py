"""Inheritance by the names of tensors, and of weights that are no good."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from phylon.search.errors import EvaluationError
from phylon.trainables.inherit import inherit
from tests.trainables.families import MACRO, TASK, sampled, trained, weights_of


class OwnNetwork(LightningModule):
    """What users bring: two of its layers share a tensor, and it has a mask."""

    def __init__(self, width: int = 6, kernel: int = 3, *, deep: bool = False) -> None:
        super().__init__()
        self.kernels = nn.Conv2d(1, width, kernel, padding="same")
        self.norm = nn.BatchNorm2d(width)
        self.encode = nn.Linear(width, width, bias=False)
        self.decode = nn.Linear(width, width)
        self.decode.weight = self.encode.weight
        self.deeper = nn.Linear(width, 2) if deep else nn.Identity()
        self.register_buffer("mask", torch.full((4, 4), float("-inf")).triu(1))

    def forward(self, pictures: Tensor) -> Tensor:
        means: Tensor = self.norm(self.kernels(pictures)).mean(dim=(2, 3))
        return self.deeper(self.decode(self.encode(means)))


def weights(network: nn.Module) -> dict[str, np.ndarray]:
    return dict(weights_of(network))


def test_an_equal_network_inherits_all() -> None:
    parent, child = OwnNetwork(), OwnNetwork()
    taken = inherit(weights(parent), child, None, seed=0)
    assert taken.share == 1.0
    assert taken.unchanged == {name: name for name, _ in child.named_parameters()}
    child.load_state_dict(taken.state)
    pictures = torch.randn(2, 1, 5, 5)
    assert torch.equal(child.eval()(pictures), parent.eval()(pictures))


def test_larger_tensors_have_the_parents_at_the_front_and_kernels_in_the_middle() -> None:
    parent, child = OwnNetwork(width=4, kernel=3), OwnNetwork(width=6, kernel=5, deep=True)
    theirs, fresh = parent.state_dict(), {k: v.clone() for k, v in child.state_dict().items()}
    taken = inherit(weights(parent), child, None, seed=0)
    kernels = taken.state["kernels.weight"]
    assert torch.equal(kernels[:4, :, 1:4, 1:4], theirs["kernels.weight"])
    assert not kernels[:4, :, 0].any()
    assert torch.equal(kernels[4:], fresh["kernels.weight"][4:])
    square = taken.state["encode.weight"]
    assert torch.equal(square[:4, :4], theirs["encode.weight"])
    assert torch.equal(square[4:], fresh["encode.weight"][4:])
    assert torch.equal(taken.state["decode.weight"], square)
    assert torch.equal(taken.state["deeper.weight"], fresh["deeper.weight"])
    assert taken.unchanged == {}
    came = 4 * 9 + 4 + 2 * 4 + 4 * 4 + 4
    assert taken.share == came / sum(each.numel() for each in child.parameters())
    child.load_state_dict(taken.state)
    assert child.encode.weight is child.decode.weight


def test_smaller_tensors_have_the_front_of_the_parents() -> None:
    parent, child = OwnNetwork(width=6, kernel=5), OwnNetwork(width=4, kernel=3)
    taken = inherit(weights(parent), child, None, seed=0)
    theirs = parent.state_dict()
    assert torch.equal(taken.state["kernels.weight"], theirs["kernels.weight"][:4, :, 1:4, 1:4])
    assert torch.equal(taken.state["norm.running_var"], theirs["norm.running_var"][:4])
    assert taken.share == 1.0


def test_one_name_of_a_shared_tensor_is_enough() -> None:
    parent, child = OwnNetwork(), OwnNetwork()
    given = weights(parent)
    del given["decode.weight"]  # as safetensors does
    taken = inherit(given, child, None, seed=0)
    assert taken.share == 1.0
    child.load_state_dict(taken.state)
    assert torch.equal(child.decode.weight, parent.decode.weight)


def test_strangers_inherit_nothing() -> None:
    child = OwnNetwork()
    taken = inherit(weights(nn.Linear(2, 3)), child, None, seed=0)
    assert (taken.share, taken.unchanged) == (0.0, {})
    assert all(torch.equal(each, child.state_dict()[name]) for name, each in taken.state.items())


def test_precision_is_that_of_the_child() -> None:
    given = weights(OwnNetwork().double())
    taken = inherit(given, OwnNetwork(), None, seed=0)
    assert taken.share == 1.0
    assert taken.state["kernels.weight"].dtype == torch.float32


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    architecture = sampled(MACRO, 0)
    by_role, by_name = weights(trained(architecture, 0)), weights(OwnNetwork())
    for given, name in ((by_role, "stem.1.running_var"), (by_name, "kernels.bias")):
        array = given[name].copy()
        array[1] = value
        given[name] = array
    told = rf"parent's weights are not finite: `stem.1.running_var` has {value} in it"
    kinship = TASK.kinship(architecture, architecture)
    with pytest.raises(EvaluationError, match=told):
        inherit(by_role, TASK.build(architecture), kinship, seed=0)
    with pytest.raises(EvaluationError, match=r"`kernels.bias` has"):
        inherit(by_name, OwnNetwork(), None, seed=0)


def test_weights_of_another_architecture_are_refused() -> None:
    parent = sampled(MACRO, 0)
    kinship, child = TASK.kinship(parent, parent), TASK.build(parent)
    given = weights(trained(parent, 0))

    def refused(told: str, **changes: np.ndarray) -> None:
        with pytest.raises(EvaluationError, match=told):
            inherit({**given, **changes}, child, kinship, seed=0)

    wide = np.zeros((4, *given["linear.weight"].shape[1:]), dtype=np.float32)
    refused(r"`linear.weight` they have shape \(4, \d+\), but it has shape \(3, \d+\)",
            **{"linear.weight": wide})  # fmt: skip
    refused(r"`other.bias` they have shape \(4,\), but it has nothing",
            **{"other.bias": wide[:, 0]})  # fmt: skip
    del given["linear.bias"]
    refused(r"`linear.bias` they have nothing, but it has shape \(3,\)")


def test_a_kinship_of_another_child_is_refused() -> None:
    parent, child = sampled(MACRO, 0), sampled(MACRO, 1)
    given = weights(trained(parent, 0))
    told = r"kinship.*`stem.0.weight` .*shape \(\d+, 1, 3, 3\), but .*shape \(\d+, 1, 3, 3\)"
    with pytest.raises(EvaluationError, match=told):
        inherit(given, TASK.build(child), TASK.kinship(parent, parent), seed=0)
    with pytest.raises(EvaluationError, match=r"`stem.0.weight` .* has nothing"):
        inherit(given, nn.Sequential(), TASK.kinship(parent, parent), seed=0)
