"""Zero-cost proxies of how a network's loss, or its output, depends on its weights.

All sum over the weights of convolutions and linear layers; higher is better. Where a network's
output does not depend on its input, only the last layers count. Shapes: `b` samples.
"""

from __future__ import annotations

import math
import sys

import torch
from torch import Tensor, nn

from phylon.trainables.proxy_parts import (
    BATCH_NORM,
    WEIGHTED,
    gradients,
    loss,
    weights,
    working_copy,
)


def synflow(network: nn.Module, inputs: Tensor, _labels: Tensor) -> float:
    """Return the logarithm of the synaptic flow (Tanaka 2020, https://arxiv.org/abs/2006.05467).

    The flow is the sum of ``|w dR/dw|``, where R is the sum of the outputs for an input of ones,
    with the absolute values of all parameters and without batch norm. It is reckoned in float64,
    and a flow that is no normal number counts as the nearest one: -708 to 710 in logarithms.
    """
    with working_copy(network) as copy:
        for parent in list(copy.modules()):
            for name, child in parent.named_children():
                if isinstance(child, BATCH_NORM):
                    setattr(parent, name, nn.Identity())
        copy.double()
        with torch.no_grad():
            for parameter in copy.parameters():
                parameter.abs_()
        output = copy(torch.ones_like(inputs[:1], dtype=torch.float64)).sum()
        flow = sum(float((w * g).abs().sum()) for w, g in gradients(output, weights(copy)))
    return math.log(min(max(flow, sys.float_info.min), sys.float_info.max))


def grad_norm(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Return the sum over layers of the norm of the loss's gradient.

    After Abdelfattah et al. 2021, https://arxiv.org/abs/2101.08134.
    """
    with working_copy(network) as copy:
        found = gradients(loss(copy, inputs, labels), weights(copy))
        return sum(float(gradient.norm()) for _, gradient in found)


def snip(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Return the sum of ``|w dL/dw|`` (Lee et al. 2019, https://arxiv.org/abs/1810.02340)."""
    with working_copy(network) as copy:
        found = gradients(loss(copy, inputs, labels), weights(copy))
        return sum(float((weight * gradient).abs().sum()) for weight, gradient in found)


def grasp(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Return the sum of ``-w Hg`` (Wang et al. 2020, https://arxiv.org/abs/2002.07376).

    H is the loss's Hessian and g its gradient, both of the same batch.
    """
    with working_copy(network) as copy:
        wanted = weights(copy)
        first = gradients(loss(copy, inputs, labels), wanted, graph=True)
        products = [(gradient.detach() * gradient).sum() for _, gradient in first]
        if not products:
            return 0.0
        second = gradients(torch.stack(products).sum(), wanted)
        return sum(float(-(weight * product).sum()) for weight, product in second)


def fisher(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Return the Fisher information of the channels (Turner 2020, arXiv:1906.04113).

    With the outputs a of each layer and g, their gradients of the loss, both summed over places:
    the sum over channels of half the mean over samples of ``(sum a g)^2``, as in Abdelfattah et al.
    2021.
    """
    outputs: list[Tensor] = []
    with working_copy(network) as copy:
        for module in copy.modules():
            if isinstance(module, WEIGHTED):
                module.register_forward_hook(lambda _, __, output: outputs.append(output))
        found = gradients(loss(copy, inputs, labels), outputs)
        score = 0.0
        for output, gradient in found:
            products = output * gradient  # (b, channels, ...)
            summed = products.flatten(2).sum(dim=2) if products.ndim > 2 else products
            score += float(summed.square().mean(dim=0).sum()) / 2
        return score
