"""Labelled pictures in memory. Shapes: `n` pictures, `c` channels, `h` x `w` pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from phylon.search.errors import ConfigurationError

Indices: TypeAlias = NDArray[np.int64]
Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]

HELD_OUT = 0.2  # fraction of each class, for validation and again for test
SMALLEST_SIDE = 2


@final
@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Pictures and their classes, as NumPy arrays so that the workers of a node share them.

    Attributes:
        images: uint8 or float32, shape ``(n, c, h, w)``.
        labels: Index of each picture's class, int64, shape ``(n,)``.
        classes: Names of the classes.
        official_test: How many pictures at the end are the data's own test split; 0 if it has none.
        source: Where they come from, for messages.

    Raises:
        ConfigurationError: There are less than two classes, a class has too few pictures to be
            split, or pictures are too small or not finite.
    """

    images: Pixels
    labels: Indices
    classes: tuple[str, ...]
    official_test: int
    source: str

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise ConfigurationError(
                f"{self.source}: {len(self.images)} pictures but {len(self.labels)} labels; "
                "each picture needs exactly one"
            )
        if min(self.images.shape[2:]) < SMALLEST_SIDE:
            raise ConfigurationError(
                f"{self.source}: pictures have {self._size} pixels; at least 2x2 are needed"
            )
        self._check_finite()
        self._check_classes()

    @property
    def channels(self) -> int:
        """1 for greyscale, 3 for colour."""
        return int(self.images.shape[1])

    @property
    def side(self) -> int:
        """The shorter side, in pixels."""
        return int(min(self.images.shape[2:]))

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that change with any pixel, label, class name or test split."""
        sha = hashlib.sha256(repr((self.classes, self.official_test)).encode())
        for array in (self.images, self.labels):
            sha.update(f"{array.dtype}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()[:16]

    def split(self, seed: int) -> Split:
        """Divide every class at random in the same proportions: the same seed, the same split.

        A fifth is for validation and a fifth for test, at least one picture of each class. The
        data's own test split, if there is one, is the test split instead.
        """
        rng = np.random.default_rng(seed)
        free = len(self.labels) - self.official_test
        parts: tuple[list[Indices], ...] = ([], [], [])
        for label in range(len(self.classes)):
            members = rng.permutation(np.flatnonzero(self.labels[:free] == label))
            held_out = max(1, round(HELD_OUT * len(members)))
            tested = 0 if self.official_test else held_out
            for part, chosen in zip(
                parts, np.split(members, [tested, tested + held_out]), strict=True
            ):
                part.append(chosen)
        test, validation, train = (np.sort(np.concatenate(part)) for part in parts)
        if self.official_test:
            test = np.arange(free, len(self.labels))
        return Split(train, validation, test)

    def __str__(self) -> str:
        colour = "greyscale" if self.channels == 1 else "colour"
        return (
            f"{len(self.images)} {colour} pictures of {self._size} pixels "
            f"in {len(self.classes)} classes"
        )

    @property
    def _size(self) -> str:
        return f"{self.images.shape[2]}x{self.images.shape[3]}"

    def _check_finite(self) -> None:
        if self.images.dtype == np.uint8:
            return
        broken = np.flatnonzero(~np.isfinite(self.images).all(axis=(1, 2, 3)))
        if len(broken):
            raise ConfigurationError(
                f"{self.source}: NaN or infinity in {len(broken)} of {len(self.images)} pictures, "
                f"the first at index {broken[0]}; repair or remove them"
            )

    def _check_classes(self) -> None:
        if len(self.classes) < 2:
            raise ConfigurationError(
                f"{self.source}: found {len(self.classes)} class ({', '.join(self.classes)}); "
                "at least 2 are needed to tell apart"
            )
        needed, splits = (
            (2, "train and validate") if self.official_test else (3, "train, validate, test")
        )
        free = self.labels[: len(self.labels) - self.official_test]
        counts = np.bincount(free, minlength=len(self.classes))
        small = [
            f"`{name}` ({count})"
            for name, count in zip(self.classes, counts, strict=True)
            if count < needed
        ]
        if small:
            raise ConfigurationError(
                f"{self.source}: too few pictures of {some(small)}; each class needs at least "
                f"{needed} ({splits}): add pictures or remove the class"
            )


@final
@dataclass(frozen=True, eq=False)
class Split:
    """Sorted indices of the pictures to train on, to choose by, and to test the winner with."""

    train: Indices
    validation: Indices
    test: Indices


def some(names: list[str], most: int = 5) -> str:
    """List the first few names and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{rest}"
