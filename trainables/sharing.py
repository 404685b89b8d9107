"""How shared weights are trained and used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

ADVICE = "advice.json"
"""What a controller would try, in the folder of a trained supernet."""


@final
@dataclass(frozen=True, slots=True)
class Sharing:
    """Settings of a supernet.

    Attributes:
        training: Which paths are trained: ``uniform``, ``fair`` or ``enas``.
        epochs: Passes over the training split.
        calibration: Training batches for the batch-norm statistics of each scored candidate; 0: the
            statistics stay those of the supernet's training.
        samples: How many different architectures the controller of ``enas`` hands on.
    """

    training: Literal["uniform", "fair", "enas"] = "uniform"
    epochs: int = 40
    calibration: int = 2
    samples: int = 100
