from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from phylon.search import Architecture, Choice, Integer, SearchSpace
from phylon.trainables import OneOf, Supernet, make_elastic
from phylon.trainables.path_draws import PathDraws

SPACE = SearchSpace(first=Choice("none", "small", "large"), width=Integer(1, 4))
DRAWS = 6000


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = OneOf(
            none=nn.Identity(), small=nn.Linear(4, 4, bias=False), large=nn.Linear(4, 4)
        )
        self.last = nn.Linear(4, width)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(rows))


class SharedNet(Supernet):
    shares = "first", "width"

    def select(self, architecture: Architecture) -> None:
        self.network.get_submodule("first").select(architecture["first"])  # type: ignore[operator]
        self.network.get_submodule("last").select(width=architecture["width"])  # type: ignore[operator]


@pytest.fixture
def shared() -> Supernet:
    torch.manual_seed(0)
    return SharedNet(SPACE, lambda architecture: Net(architecture["width"]), make_elastic(Net(4)))


def test_options_with_more_weights_are_drawn_more_often_and_sizes_equally(shared: Supernet) -> None:
    draws = PathDraws(SPACE, shared)
    rng = np.random.default_rng(0)
    drawn = [draws.draw(rng) for _ in range(DRAWS)]
    for path in drawn:
        SPACE.validate(path)
    options = Counter(path["first"] for path in drawn)
    widths = Counter(path["width"] for path in drawn)
    shares = [options[name] / DRAWS for name in ("none", "small", "large")]
    assert shares == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.03)
    assert [widths[width] / DRAWS for width in range(1, 5)] == pytest.approx([0.25] * 4, abs=0.03)


def test_what_all_paths_share_takes_its_part_of_an_update(shared: Supernet) -> None:
    draws = PathDraws(SPACE, shared)
    assert draws.pace == pytest.approx((2 / 6 + 3 / 6) / 2)
    shared.select(Architecture({"first": "small", "width": 4}))
    before = {name: weight.detach().clone() for name, weight in shared.named_parameters()}
    shared(torch.ones(2, 4)).sum().backward()
    draws.step(torch.optim.SGD(shared.parameters(), lr=0.1))
    for name, weight in shared.named_parameters():
        gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
        part = draws.pace if ".last." in name else 1.0
        torch.testing.assert_close(weight.detach(), before[name] - 0.1 * part * gradient)
    moved = {name for name, weight in shared.named_parameters() if weight.grad is not None}
    assert moved == {"network.first.small.weight", "network.last.weight", "network.last.bias"}


def test_networks_that_differ_only_in_sizes_are_trained_as_they_are_alone() -> None:
    space = SearchSpace(first=Choice("none"), width=Integer(1, 4))
    build = make_elastic(Net(4))
    assert PathDraws(space, SharedNet(space, lambda _: Net(4), build)).pace == 1.0
