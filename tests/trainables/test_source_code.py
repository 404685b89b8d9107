from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional

from phylon.search import SearchSpace
from phylon.search.errors import ConfigurationError
from phylon.trainables import (
    build_cellnet,
    build_convnet,
    build_dartsnet,
    darts_space,
    macro_space,
    nasbench201_space,
)
from phylon.trainables.source_code import write_source

SPACES: dict[str, tuple[SearchSpace, Callable[..., nn.Module]]] = {
    "nasbench201": (nasbench201_space(), build_cellnet),
    "macro": (macro_space(8), build_convnet),
    "darts": (darts_space(), build_dartsnet),
}


def stirred(network: nn.Module) -> nn.Module:
    """Give parameters and running statistics values that no fresh network has."""
    torch.manual_seed(1)
    with torch.no_grad():
        for value in [*network.parameters(), *network.buffers()]:
            if value.is_floating_point():
                value.add_(0.1 * torch.rand_like(value))
    return network.eval()


def loaded(text: str, weights: dict[str, Tensor]) -> nn.Module:
    names: dict[str, Any] = {}
    exec(compile(text, "network.py", "exec"), names)
    made: nn.Module = names["Network"]()
    made.load_state_dict(weights, strict=True)
    return made.eval()


def check(network: nn.Module, inputs: Tensor) -> str:
    """Write a network, see that it does the same, also with more samples, and return its source."""
    network = stirred(network)
    source = write_source(network, "A network.")
    made = loaded(source.text, source.weights)
    assert network.state_dict().keys() <= source.weights.keys()
    assert "phylon" not in source.text
    for batch in (inputs, inputs.repeat(2, *[1] * (inputs.ndim - 1))):
        torch.testing.assert_close(made(batch), network(batch), rtol=0, atol=1e-5)
    return source.text


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SPACES)
def test_networks_of_every_space_are_written_as_they_are(name: str, seed: int) -> None:
    space, build = SPACES[name]
    architecture = space.sample(np.random.default_rng(seed))
    network = stirred(build(architecture, 3, 10))
    source = write_source(network, "A network.")
    assert list(source.weights) == list(network.state_dict())
    inputs = torch.randn(3, 3, 8, 8)
    made = loaded(source.text, source.weights)
    torch.testing.assert_close(made(inputs), network(inputs), rtol=0, atol=1e-5)


def test_cells_that_are_alike_are_written_once() -> None:
    space, build = SPACES["nasbench201"]
    network = build(space.sample(np.random.default_rng(0)), 3, 10)
    text = write_source(network, "A network.").text
    assert text.count("class GraphCell(") == text.count("class GraphCell") == 1
    for width in (16, 32, 64):
        assert f"nn.Sequential(*[GraphCell({width}) for _ in range(5)])" in text
    assert len(text.splitlines()) < 120


class Sharing(nn.Module):
    """One layer in two places, weights of another one, and a buffer that is not kept."""

    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.again = nn.Sequential(self.first, nn.Tanh())
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.first.weight
        self.scale = nn.Parameter(torch.ones(4), requires_grad=False)
        self.register_buffer("offset", torch.arange(4.0), persistent=False)
        self.factor = torch.full((4,), 3.0)
        self.count = 3

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        scaled = self.first(x) * (self.scale if scale is None else scale)
        for _ in range(self.count):
            scaled = self.again(scaled) + self.offset
        return self.tied(scaled) * self.factor - torch.tensor([1.0, 2.0, 3.0, 4.0])


class Block(nn.Module):
    def __init__(self, width: int, act: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), act, nn.Linear(width, 4), act)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.layers(x) + x)
        return out


class ReLU(nn.Module):
    """Has the name of a layer of torch, and a size of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.inner = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return (self.inner(x)[:, :1] * self.scale).sum(dim=1, keepdim=True) + x


def with_one_activation() -> nn.Module:
    act = nn.Tanh()
    return nn.Sequential(Block(3, act), Block(5, act), ReLU(2), act, ReLU(3), act)


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6)])
        self.weight = nn.ParameterList([torch.zeros(6)])

    def encode(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers[0](x)
        return out

    def forward(self, x: Tensor, *, shift: float = 0.5) -> tuple[Tensor, Tensor]:
        first = functional.gelu(self.layers[1](x)) + shift
        return first, self.weight[0] * first


class Odd(nn.Module):
    """Slices, shapes, several results, calls that are no forward, and an attention."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()
        self.lstm = nn.LSTM(6, 3, bidirectional=True, batch_first=True)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.norm = nn.LayerNorm(6, elementwise_affine=False)

    def forward(self, x: Tensor) -> Tensor:
        count = x.shape[0]
        encoded = self.inner.encode(x)
        first, second = self.inner(encoded, shift=-1.5)
        out, _ = self.lstm(torch.stack([first, second], dim=1))
        mixed, _ = self.attention(out, out, out, need_weights=False)
        flat = self.norm(mixed).reshape(count, -1)
        flat.mul_(2.0)
        picked = flat[:, 1::2] * 2**0.5 + (-1) * flat[..., ::2]
        return functional.softmax(picked, dim=-1).clamp(min=float("-inf"))


class Lit(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
        self.loss = nn.CrossEntropyLoss(weight=torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x.to(self.device))
        return out


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (Sharing(), torch.randn(3, 4)),
        (with_one_activation(), torch.randn(3, 4)),
        (Odd(), torch.randn(3, 6)),
        (Lit(), torch.randn(3, 4)),
        (nn.Linear(4, 1), torch.randn(3, 4)),
        (nn.Sequential(nn.Embedding(9, 4, padding_idx=0), nn.Flatten()), torch.tensor([[1, 8]])),
        (nn.Sequential(nn.Sequential(nn.Linear(4, 4)), nn.ReLU6()), torch.randn(3, 4)),
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), torch.randn(3, 4)),
    ],
    ids=[
        "shared weights",
        "one activation",
        "odd operations",
        "Lightning",
        "one layer",
        "tokens",
        "sequential",
        "twice",
    ],
)
def test_networks_of_ones_own_are_written_as_they_are(network: nn.Module, inputs: Tensor) -> None:
    check(network, inputs)


def test_an_activation_in_several_places_leaves_blocks_what_they_are() -> None:
    text = write_source(with_one_activation(), "A network.").text
    assert text.count("class Block") == text.count("class ReLU") == 1
    assert all(f"{made}" in text for made in ("Block(3)", "Block(5)", "ReLU(2)", "nn.ReLU()"))


def test_weights_that_are_one_stay_one() -> None:
    source = write_source(Sharing(), "A network.")
    made: Any = loaded(source.text, source.weights)
    assert made.tied.weight is made.first.weight
    assert not made.scale.requires_grad


class Branching(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > 0 else x


class Pair(nn.Linear):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x), x


class Scaled(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 4))
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x) * self.scale
        return out


def hooked() -> nn.Module:
    network = nn.Sequential(nn.Linear(4, 4))
    network[0].register_forward_hook(lambda *_: None)
    return network


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Branching(4, 4), "the forward of Branching cannot be written.*control flow"),
        (Pair(4, 4), "the forward of Pair returns"),
        (LightningModule(), "the forward of LightningModule cannot be written"),
        (Scaled(), "`the network` is a Scaled with weights of its own"),
        (hooked(), "the module `0` has forward hooks"),
        (nn.Linear(4, 4).double(), "parameters of torch.float64"),
        (
            nn.Sequential(nn.TransformerEncoderLayer(4, 2, dropout=0.0), nn.Linear(4, 4)),
            r"layer `0` \(torch.nn.modules.transformer.TransformerEncoderLayer\)",
        ),
        (
            nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))),
            "layer `0` .* it is not of torch.nn",
        ),
    ],
    ids=[
        "branches",
        "two results",
        "no forward",
        "own weights",
        "hooks",
        "doubles",
        "composite",
        "parametrised",
    ],
)
def test_what_cannot_be_written_is_refused(network: nn.Module, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=f"(?s){reason}.*--format torch"):
        write_source(network, "A network.")
