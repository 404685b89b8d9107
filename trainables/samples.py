"""What a network is given: some validation data, and how it was made ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, final, runtime_checkable

from pytorch_lightning import LightningDataModule, seed_everything
from torch import Tensor

from phylon.search.errors import ConfigurationError
from phylon.trainables.lightning import first_batch


class Normalisation(NamedTuple):
    """``(pixels - mean) * scale`` for each channel of pictures ``(b, c, h, w)``."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]


@runtime_checkable
class PictureData(Protocol):
    """A data module that can tell what it does to pictures, and which classes there are."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of a network's outputs."""

    @property
    def normalisation(self) -> Normalisation:
        """What becomes of the pictures of its loaders before a network gets them, and no more."""


@final
@dataclass(frozen=True)
class Samples:
    """The first batch of the validation data.

    Attributes:
        given: As the data holds it, ``(b, ...)``; the same as `inputs` if that is not known.
        inputs: As the network gets it, ``(b, ...)``.
        normalisation: What makes one of the other; None if nothing does, as far as is known.
        classes: Names of the network's outputs; empty if not known.
    """

    given: Tensor
    inputs: Tensor
    normalisation: Normalisation | None = None
    classes: tuple[str, ...] = ()


def first_samples(data: LightningDataModule, seed: int) -> Samples:
    """Return the first batch of the validation data.

    Args:
        data: Where it is from.
        seed: What it follows if the data module draws at random.

    Raises:
        ConfigurationError: A batch does not begin with one tensor.
    """
    seed_everything(seed, verbose=False)
    inputs = inputs_of(first_batch(data, "validate"))
    if not isinstance(data, PictureData):
        return Samples(inputs, inputs)
    given = inputs_of(next(iter(data.val_dataloader())))
    return Samples(given, inputs, data.normalisation, data.classes)


def inputs_of(batch: Any) -> Tensor:  # noqa: ANN401 - whatever the data module yields
    """Return what a network is given of a batch: the first of its parts.

    Raises:
        ConfigurationError: It is no tensor.
    """
    inputs = batch[0] if isinstance(batch, list | tuple) else batch
    if isinstance(inputs, Tensor) and inputs.ndim:
        return inputs.cpu()
    raise ConfigurationError(
        f"the network is given a {type(inputs).__name__} for each batch; only networks of one "
        f"tensor (b, ...) can be exported: let the data module yield it first"
    )
