from __future__ import annotations

import copy
import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from phylon.search import Architecture
from phylon.search.errors import ConfigurationError
from phylon.trainables import ImageTask, build_cellnet, build_convnet, macro_space
from phylon.trainables.nasbench201 import from_string
from phylon.trainables.proxies import LEAST, PROXIES, score

GOOD = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|none~2|"
POOLS = "|skip_connect~0|+|none~0|none~1|+|avg_pool_3x3~0|skip_connect~1|none~2|"
ZERO = "|none~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_3x3~1|nor_conv_1x1~2|"
RANDOM = torch.Generator().manual_seed(0)
INPUTS = torch.randn(8, 3, 8, 8, generator=RANDOM)
LABELS = torch.arange(8) % 3


def cellnet(cell: str) -> nn.Module:
    torch.manual_seed(0)
    return build_cellnet(from_string(cell, cells=1, channels=4), 3, 3)


def convnet(seed: int, **decisions: object) -> nn.Module:
    space = macro_space(8, depth=(1, 2), width=(8, 16))
    architecture = space.sample(np.random.default_rng(seed))
    torch.manual_seed(seed)
    return build_convnet(Architecture({**architecture.nested, **decisions}), 3, 3)


def plain(activation: nn.Module | None = None) -> nn.Sequential:
    """Return a network whose every layer is on its only path."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        activation or nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        activation or nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def test_params_and_macs_are_those_counted_by_hand() -> None:
    scores = score(plain(), INPUTS, LABELS, ["params", "macs"])
    convolutions = 4 * 3 * 9 + 4 * 4 * 9
    assert scores["params"] == convolutions + 2 * 2 * 4 + 4 * 3 + 3
    assert scores["macs"] == 64 * convolutions + 4 * 3


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_proxy_leaves_no_trace_and_repeats_itself(proxy: str) -> None:
    network = convnet(0, dropout=0.4)
    before = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.eval().modules()]
    state, inputs = torch.get_rng_state(), INPUTS.clone()
    first = score(network, INPUTS, LABELS, [proxy])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(INPUTS, inputs)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    torch.rand(3)
    with torch.no_grad():
        assert score(network, INPUTS, LABELS, [proxy]) == first


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_proxy_tells_networks_apart(proxy: str) -> None:
    networks = [*map(convnet, range(5)), cellnet(GOOD), cellnet(ZERO)]
    values = [PROXIES[proxy](network, INPUTS, LABELS) for network in networks]
    assert len(set(values)) == len(values)
    assert all(map(math.isfinite, values))


@pytest.mark.parametrize("proxy", ["synflow", "nwot", "jacov", "epe_nas", "zen"])
@pytest.mark.parametrize("other", [GOOD, POOLS])
def test_a_cell_that_lets_nothing_through_is_worse_than_others(proxy: str, other: str) -> None:
    networks = cellnet(ZERO), cellnet(other)
    zero, value = (PROXIES[proxy](network, INPUTS, LABELS) for network in networks)
    assert zero < value


@pytest.mark.parametrize("layer", [0, 3, 8])
def test_the_flow_of_a_network_with_a_layer_of_zeros_is_the_least(layer: int) -> None:
    network = plain()
    whole = PROXIES["synflow"](network, INPUTS, LABELS)
    nn.init.zeros_(network[layer].weight)
    cut = PROXIES["synflow"](network, INPUTS, LABELS)
    assert cut == pytest.approx(math.log(sys.float_info.min))
    assert cut < whole


def test_the_flow_of_a_path_is_the_product_of_its_weights() -> None:
    network = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1), nn.ReLU(), nn.Linear(1, 1))
    for layer, weight in ((0, -3.0), (3, 0.5)):
        nn.init.constant_(network[layer].weight, weight)
        nn.init.zeros_(network[layer].bias)
    flow = math.exp(PROXIES["synflow"](network, torch.randn(4, 1), LABELS[:4]))
    assert flow == pytest.approx(2 * 3.0 * 0.5)  # each of two layers sees the whole of it


def test_flows_beyond_floating_point_stay_in_order() -> None:
    deep = nn.Sequential(*(nn.Linear(1, 1) for _ in range(400)))
    for layer in deep:
        nn.init.constant_(layer.weight, 1e3)
    flow = PROXIES["synflow"](deep, torch.randn(2, 1), LABELS[:2])
    assert flow == pytest.approx(math.log(sys.float_info.max))


def test_gradient_proxies_of_a_linear_layer_are_those_worked_out_by_hand() -> None:
    network = nn.Linear(2, 2, bias=False)
    nn.init.zeros_(network.weight)
    network.weight.data[0, 0] = 2.0
    inputs, labels = torch.tensor([[1.0, 0.0]]), torch.tensor([1])
    p = math.exp(2.0) / (math.exp(2.0) + 1.0)  # of the wrong class; logits are (2, 0)
    gradient = torch.tensor([p, -p])  # of the loss by the logits, and by the first inputs' weights
    scores = score(network, inputs, labels, ["grad_norm", "snip", "fisher", "grasp"])
    assert scores["grad_norm"] == pytest.approx(float(gradient.norm()), rel=1e-5)
    assert scores["snip"] == pytest.approx(2.0 * p, rel=1e-5)
    assert scores["fisher"] == pytest.approx((2.0 * p) ** 2 / 2, rel=1e-5)
    curvature = p * (1 - p)  # the Hessian by the logits is this times [[1, -1], [-1, 1]]
    assert scores["grasp"] == pytest.approx(-2.0 * curvature * 2 * p, rel=1e-4)


def test_nwot_counts_equal_signs() -> None:
    class Signs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.activation = nn.GELU()

        def forward(self, inputs: Tensor) -> Tensor:
            outputs: Tensor = self.activation(inputs)
            return outputs

    inputs = torch.tensor([[1.0, 2.0, -1.0], [3.0, -2.0, -1.0]])  # two of three signs are equal
    determinant = 3 * 3 - 2 * 2
    assert PROXIES["nwot"](Signs(), inputs, LABELS[:2]) == pytest.approx(math.log(determinant))


def test_jacov_and_epe_nas_see_equal_and_different_jacobians() -> None:
    linear, curved = nn.Linear(4, 3), nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 3))
    inputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    k = 1e-5
    equal = -(5 * (math.log(k) + 1 / k) + math.log(6 + k) + 1 / (6 + k))
    assert PROXIES["jacov"](linear, inputs, labels) == pytest.approx(equal, rel=1e-3)
    assert PROXIES["jacov"](linear, inputs, labels) < PROXIES["jacov"](curved, inputs, labels)
    assert PROXIES["epe_nas"](linear, inputs, labels) == pytest.approx(0.0, abs=1e-3)
    assert PROXIES["epe_nas"](curved, inputs, labels) > 1.0


def test_zen_does_not_depend_on_the_weights_and_grows_with_the_depth() -> None:
    one = PROXIES["zen"](plain(), INPUTS, LABELS)
    other = plain()
    nn.init.constant_(other[0].weight, 7.0)
    assert PROXIES["zen"](other, INPUTS, LABELS) == one
    layers = list(plain())
    deeper = nn.Sequential(*layers[:6], *copy.deepcopy(layers[3:6]), *layers[6:])
    assert PROXIES["zen"](deeper, INPUTS, LABELS) > one


@pytest.mark.parametrize(
    "activation", [nn.ReLU(inplace=True), nn.GELU(), nn.SiLU(), nn.Tanh(), nn.Identity()]
)
def test_any_activation_will_do(activation: nn.Module) -> None:
    scores = score(plain(activation), INPUTS, LABELS)
    assert scores.keys() == PROXIES.keys()
    assert all(map(math.isfinite, scores.values()))
    if not isinstance(activation, nn.Identity):
        assert scores["nwot"] > 0


def test_what_overflows_counts_as_the_least() -> None:
    network = plain()
    nn.init.constant_(network[8].weight, float("inf"))
    assert score(network, INPUTS, LABELS, ["snip", "params"])["snip"] == LEAST


def test_an_unknown_proxy_is_refused_with_the_nearest(bars: ImageTask, small: Architecture) -> None:
    with pytest.raises(ConfigurationError, match="unknown proxy `sinflow`; did you mean `synflow`"):
        score(bars.build(small), torch.randn(2, 1, 6, 6), LABELS[:2], ["sinflow"])
