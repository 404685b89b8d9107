"""How long and in what portions candidates are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from phylon.search.errors import ConfigurationError


@final
@dataclass(frozen=True, slots=True)
class Training:
    """Settings shared by all candidates of a study.

    Attributes:
        epochs: Passes over the training split, for candidates that bring no number of their own.
        batch_size: Samples per step.
        checkpoint_every: Epochs between checkpoints, from which interrupted candidates go on; None
            for one whenever an interruption would cost more than ten seconds.

    Raises:
        ConfigurationError: A setting is no positive integer.
    """

    epochs: int = 5
    batch_size: int = 64
    checkpoint_every: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "checkpoint_every"):
            value = getattr(self, name)
            if value is None and name == "checkpoint_every":
                continue
            if type(value) is not int or value < 1:
                raise ConfigurationError(f"training.{name} is {value!r}; allowed: integers from 1")
