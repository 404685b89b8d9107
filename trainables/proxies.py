"""Zero-cost proxies: what an untrained network tells of how well it will do after training.

A proxy is a function of a network, a batch of inputs ``(b, ...)`` and their labels ``(b,)``; the
network maps inputs to logits ``(b, k)``. It changes neither the network nor the global random
number generator, and is deterministic. Higher is meant to be better, except for `params` and
`macs`, with which every other proxy should be compared (Krishnakumar et al. 2022,
https://arxiv.org/abs/2210.03230).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from phylon.search.errors import ConfigurationError, did_you_mean
from phylon.trainables.proxy_gradients import fisher, grad_norm, grasp, snip, synflow
from phylon.trainables.proxy_maps import epe_nas, jacov, nwot, zen
from phylon.trainables.proxy_parts import working_copy

Proxy: TypeAlias = Callable[[nn.Module, Tensor, Tensor], float]

LEAST = -sys.float_info.max


def params(network: nn.Module, _inputs: Tensor, _labels: Tensor) -> float:
    """Return the number of parameters."""
    return float(sum(parameter.numel() for parameter in network.parameters()))


def macs(network: nn.Module, inputs: Tensor, _labels: Tensor) -> float:
    """Return the multiply-accumulates of one sample, as the metric of the same name counts them."""
    counter = FlopCounterMode(display=False)
    with working_copy(network) as copy, torch.no_grad(), counter:
        copy.eval()(inputs[:1])
    return float(counter.get_total_flops() // 2)


PROXIES: Mapping[str, Proxy] = {
    "params": params,
    "macs": macs,
    "synflow": synflow,
    "nwot": nwot,
    "jacov": jacov,
    "snip": snip,
    "grad_norm": grad_norm,
    "fisher": fisher,
    "grasp": grasp,
    "zen": zen,
    "epe_nas": epe_nas,
}


def score(
    network: nn.Module, inputs: Tensor, labels: Tensor, proxies: Sequence[str] = tuple(PROXIES)
) -> dict[str, float]:
    """Return proxies by name; one that is no finite number is `LEAST`.

    Args:
        network: From inputs to logits ``(b, k)``.
        inputs: Of shape ``(b, ...)``.
        labels: Indices of classes, of shape ``(b,)``.
        proxies: Names in `PROXIES`.

    Raises:
        ConfigurationError: There is no such proxy.
    """
    for name in proxies:
        if name not in PROXIES:
            raise ConfigurationError(f"unknown proxy `{name}`; {did_you_mean(name, PROXIES)}")
    values = {name: PROXIES[name](network, inputs, labels) for name in proxies}
    return {name: value if math.isfinite(value) else LEAST for name, value in values.items()}
