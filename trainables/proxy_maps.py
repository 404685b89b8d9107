"""Zero-cost proxies of how differently a network treats different inputs.

Higher is better. Shapes: `b` samples, `n` units.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from phylon.trainables.proxy_parts import (
    BATCH_NORM,
    WEIGHTED,
    correlations,
    input_jacobians,
    working_copy,
)

SMALL = 1e-5
"""Added to, or the least of, what is taken the logarithm of."""

MIX = 1e-2
"""How much of the noise `zen` adds."""

ACTIVATIONS = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardswish,
    nn.Hardtanh,  # ReLU6 as well
    nn.LeakyReLU,
    nn.Mish,
    nn.PReLU,
    nn.ReLU,
    nn.SELU,
    nn.SiLU,
    nn.Softplus,
    nn.Tanh,
)


def nwot(network: nn.Module, inputs: Tensor, _labels: Tensor) -> float:
    """Return how well signs of activations tell samples apart (Mellor 2021, arXiv:2006.04647 v3).

    That is the logarithm of the determinant of the matrix that counts, for each pair of samples,
    the units whose input has the same sign in both; units of any activation that is a module, ReLU
    or other. Eigenvalues below 1e-5 count as that: without such units, or with samples that are
    all the same, the score is near b log 1e-5.
    """
    kernel = torch.zeros(len(inputs), len(inputs), dtype=torch.float64, device=inputs.device)

    def count(_: nn.Module, maps: tuple[Tensor, ...]) -> None:
        signs = (maps[0].flatten(1) > 0).float() * 2 - 1  # (b, n)
        kernel.add_((signs.shape[1] + signs @ signs.T) / 2)

    with working_copy(network) as copy, torch.no_grad():
        for module in copy.modules():
            if isinstance(module, ACTIVATIONS):
                module.register_forward_pre_hook(count)
        copy(inputs)
    return float(torch.linalg.eigvalsh(kernel).clamp(min=SMALL).log().sum())


def jacov(network: nn.Module, inputs: Tensor, _labels: Tensor) -> float:
    """Return how little correlated the samples' Jacobians are (Mellor 2020, arXiv:2006.04647 v1).

    With the eigenvalues e of the correlation matrix and k = 1e-5: ``-sum(log(e + k) + 1/(e + k))``.
    Where the output does not depend on the input, all Jacobians count as equal, which gives the
    least score, about -1e5 b.
    """
    with working_copy(network) as copy:
        matrix = correlations(input_jacobians(copy, inputs))
    values = torch.linalg.eigvalsh(matrix).clamp(min=0.0) + SMALL
    return -float((values.log() + values.reciprocal()).sum())


def epe_nas(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Return how little correlated Jacobians of a class are (Lopes 2021, arXiv:2102.08099).

    The sum over classes of ``|sum(log(|r| + 1e-5))|`` over the correlations r of the class's
    samples; 0, the least, up to 1e-5 a pair, where the output does not depend on the input.
    """
    with working_copy(network) as copy:
        jacobians = input_jacobians(copy, inputs)
    classes = [correlations(jacobians[labels == label]) for label in set(labels.tolist())]
    return sum(abs(float((each.abs() + SMALL).log().sum())) for each in classes)


def zen(network: nn.Module, inputs: Tensor, _labels: Tensor) -> float:
    """Return the Zen-score (Lin et al. 2021, https://arxiv.org/abs/2102.01063).

    With Gaussian weights and inputs: the logarithm of the mean over samples of the change of the
    last maps, those before the global pooling, when 0.01 times other noise is added to the inputs;
    plus the logarithm of the deviation in each batch norm. Variances below 1e-5, and a change that
    is no normal number, count as the least that is.
    """
    with working_copy(network) as copy, torch.no_grad():
        for module in copy.modules():
            if isinstance(module, WEIGHTED):
                module.weight.normal_()
            elif isinstance(module, BATCH_NORM):
                module.reset_parameters()
                module.momentum = 1.0  # the statistics are those of the last batch
        noise = torch.randn(2, *inputs.shape).to(inputs.device)
        change = _last_maps(copy, noise[0]) - _last_maps(copy, noise[0] + MIX * noise[1])
        mean = float(change.flatten(1).abs().sum(dim=1).double().mean())
        variances = [
            float(module.running_var.mean())
            for module in copy.modules()
            if isinstance(module, BATCH_NORM) and module.running_var is not None
        ]
    deviations = sum(math.log(max(variance, SMALL)) / 2 for variance in variances)
    return math.log(max(mean, torch.finfo(torch.float64).tiny)) + deviations


def _last_maps(network: nn.Module, inputs: Tensor) -> Tensor:
    """Return what goes into the last global pooling, or else the output."""
    maps: list[Tensor] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs: maps.append(inputs[0]))
        for module in network.modules()
        if isinstance(module, nn.AdaptiveAvgPool2d)
    ]
    output: Tensor = network(inputs)
    for hook in hooks:
        hook.remove()
    return maps[-1] if maps else output
