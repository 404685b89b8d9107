"""Batch norm with shared weights: statistics of one path do not fit another one.

How far running statistics that all paths have mixed are from those of a single path decides how
well shared weights rank: see Guo et al. 2020 (SPOS, https://arxiv.org/abs/1904.00420), section 3.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from phylon.trainables.steps import ignore, logging_to, take_step


@contextmanager
def batch_statistics(module: nn.Module) -> Iterator[None]:
    """Normalise every batch by itself, as in training; running statistics stay as they are."""
    layers = _norms(module)
    buffers = [buffer for layer in layers for buffer in layer.buffers()]
    before = [buffer.clone() for buffer in buffers]
    modes = [layer.training for layer in layers]
    for layer in layers:
        layer.train()
    try:
        yield
    finally:
        for layer, mode in zip(layers, modes, strict=True):
            layer.train(mode)
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)


def calibrate(module: LightningModule, batches: Iterable[Any]) -> None:
    """Make running statistics the mean of those of some training batches, and of nothing else.

    Only batch norms are in training mode meanwhile. They are left in evaluation mode. The module's
    `training_step` is called, without an optimizer, unless there is no batch norm.
    """
    layers = _norms(module)
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    module.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over all batches
        layer.train()
    try:
        with torch.no_grad(), logging_to(module, ignore):
            for index, batch in enumerate(batches):
                take_step(module.training_step, batch, index)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()


def _norms(module: nn.Module) -> list[_BatchNorm]:
    return [each for each in module.modules() if isinstance(each, _BatchNorm)]
