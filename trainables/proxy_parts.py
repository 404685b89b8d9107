"""What zero-cost proxies are made of. Shapes: `b` samples, `d` inputs each, `k` classes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

DROPOUT = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)
BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
SEED = 0


@contextmanager
def working_copy(network: nn.Module) -> Iterator[nn.Module]:
    """Lend a copy of a network to do anything with, and torch's generator, seeded.

    The copy is in training mode, so that batch norm takes its statistics from the batch, but drops
    nothing out. The network and the generator are as before afterwards.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.default_generator.manual_seed(SEED)
        twin = copy.deepcopy(network).train().requires_grad_(requires_grad=True)
        for module in twin.modules():
            if isinstance(module, DROPOUT):
                module.eval()
        yield twin


def weights(network: nn.Module) -> list[Tensor]:
    """Return the weights, not the biases, of convolutions and linear layers."""
    return [module.weight for module in network.modules() if isinstance(module, WEIGHTED)]


def loss(network: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross entropy of a batch, of shape ``()``."""
    return cross_entropy(network(inputs), labels)


def gradients(
    total: Tensor, tensors: Sequence[Tensor], *, graph: bool = False
) -> list[tuple[Tensor, Tensor]]:
    """Return each tensor that `total`, of shape ``()``, depends on, with its gradient.

    Args:
        total: What is differentiated.
        tensors: By what.
        graph: Whether the gradients are to be differentiated again.
    """
    if not tensors or not total.requires_grad:
        return []
    found = torch.autograd.grad(total, tensors, create_graph=graph, allow_unused=True)
    pairs = zip(tensors, found, strict=True)
    return [(tensor.detach(), gradient) for tensor, gradient in pairs if gradient is not None]


def input_jacobians(network: nn.Module, inputs: Tensor) -> Tensor:
    """Return the gradient of each sample's summed outputs by its inputs, of shape ``(b, d)``."""
    inputs = inputs.detach().clone().requires_grad_()
    found = gradients(network(inputs).sum(), [inputs])
    jacobians = found[0][1] if found else torch.zeros_like(inputs)
    return jacobians.flatten(1)


def correlations(rows: Tensor) -> Tensor:
    """Return Pearson's correlation of all pairs of rows ``(b, d)``, of shape ``(b, b)``, float64.

    Rows that are constant, whose correlations are not defined, count as equal to all others.
    """
    centred = rows.double() - rows.double().mean(dim=1, keepdim=True)
    norms = centred.norm(dim=1, keepdim=True)
    units = centred / norms.clamp(min=torch.finfo(torch.float64).tiny)
    constant = norms.squeeze(1) == 0
    matrix: Tensor = units @ units.T
    return matrix.masked_fill(constant[:, None] | constant[None, :], 1.0)
