"""A small ensemble of neural networks, which predicts and tells by its spread how sure it is.

Symbols: `n` points, `d` features, `m` networks, `w` units of a layer. Needs torch, imported when an
ensemble is fitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Floats: TypeAlias = NDArray[np.float64]

MEMBERS = 5
LAYERS, UNITS = 3, 32
RATE, BETAS = 0.01, (0.9, 0.99)
STEPS = 100
MOST_ROWS = 256
"""With more points than this, a step sees so many, drawn anew, and there are `EPOCHS` of them."""
EPOCHS = 20


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: what is small is quicker so, and sums have one order."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@final
class Ensemble:
    """`MEMBERS` fully connected networks that differ in their first weights alone.

    All are trained at once by Adam on the mean absolute error, with the whole data in every step
    while it is small. In float64, so that rounding, which differs from processor to processor, does
    not grow into other proposals.

    Args:
        x: Features, shape ``(n, d)``, best between 0 and 1.
        y: What is to be predicted, shape ``(n,)``, best about 1 in size.
        seed: Non-negative integers from which the first weights are drawn.
    """

    def __init__(self, x: Floats, y: Floats, seed: Sequence[int]) -> None:
        import torch

        generator = torch.Generator()
        generator.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        with one_thread(), torch.enable_grad():
            self._layers = _first_layers(x.shape[1], generator)
            inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
            parameters = [each for layer in self._layers for each in layer]
            adam = torch.optim.Adam(parameters, lr=RATE, betas=BETAS, fused=True)
            n = len(y)
            for _ in range(max(STEPS, EPOCHS * n // MOST_ROWS)):
                rows = torch.arange(n)
                if n > MOST_ROWS:
                    rows = torch.randperm(n, generator=generator)[:MOST_ROWS]
                adam.zero_grad()
                errors = _forward(self._layers, inputs[rows]) - targets[rows]  # (m, rows)
                torch.autograd.backward(errors.abs().mean(1).sum())
                adam.step()

    def predict(self, x: Floats) -> Floats:
        """Return what each network predicts.

        Args:
            x: Features, shape ``(n, d)``.

        Returns:
            Predictions, shape ``(m, n)``.
        """
        import torch

        with one_thread(), torch.no_grad():
            predictions: Floats = _forward(self._layers, torch.from_numpy(x)).numpy()
        return predictions


def _first_layers(d: int, generator: torch.Generator) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return weights ``(m, inputs, w)``, uniform as by Glorot, and zero biases ``(m, 1, w)``."""
    import torch

    layers = []
    widths = [d, *[UNITS] * LAYERS, 1]
    for before, after in pairwise(widths):
        bound = (6 / (before + after)) ** 0.5
        weight = torch.rand(MEMBERS, before, after, generator=generator, dtype=torch.float64)
        weight = ((2 * weight - 1) * bound).requires_grad_()
        bias = torch.zeros(MEMBERS, 1, after, dtype=torch.float64, requires_grad=True)
        layers.append((weight, bias))
    return layers


def _forward(layers: Sequence[tuple[torch.Tensor, torch.Tensor]], x: torch.Tensor) -> torch.Tensor:
    """Return predictions ``(m, n)`` for features ``(n, d)``."""
    import torch

    hidden = x.expand(MEMBERS, *x.shape)  # (m, n, d)
    *inner, (weight, bias) = layers
    for weights, biases in inner:
        hidden = torch.relu(torch.baddbmm(biases, hidden, weights))  # (m, n, w)
    return torch.baddbmm(bias, hidden, weight).squeeze(2)
