"""Datasets from NumPy arrays, in memory or in an ``.npz`` file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylon.search.errors import ConfigurationError, did_you_mean
from phylon.trainables.dataset import ImageDataset, Pixels

LAYOUTS = "(n, h, w), (n, h, w, c) or (n, c, h, w) with c = 1 or 3"


class Labelled(NamedTuple):
    """Pictures in any of the allowed layouts, and their labels, one each."""

    images: NDArray[Any]
    labels: NDArray[Any]


def dataset_from_arrays(
    train: Labelled, test: Labelled | None = None, *, source: str = "arrays"
) -> ImageDataset:
    """Return a dataset whose classes are the different labels, in their order.

    Args:
        train: Pictures ``(n, h, w)``, ``(n, h, w, c)`` or ``(n, c, h, w)`` of integers or floats,
            and labels ``(n,)`` of integers or strings.
        test: The official test split, of the same kind.
        source: Where they come from, for messages.

    Raises:
        ConfigurationError: A shape or type is another, the lengths differ, or see `ImageDataset`.
    """
    parts = [part for part in (train, test) if part is not None]
    for part in parts:
        _check_lengths(part, source)
    pixels = [_channels_first(part.images, source) for part in parts]
    if len({array.shape[1:] for array in pixels}) > 1:
        shapes = " and ".join(str(array.shape[1:]) for array in pixels)
        raise ConfigurationError(
            f"{source}: pictures to train on and to test with differ in shape (c, h, w): {shapes}"
        )
    names, labels = np.unique(
        np.concatenate([_flat_labels(part.labels, source) for part in parts]), return_inverse=True
    )
    return ImageDataset(
        images=_compact(np.concatenate(pixels) if test else pixels[0], source),
        labels=labels.astype(np.int64),
        classes=tuple(map(str, names.tolist())),
        official_test=len(test.images) if test else 0,
        source=source,
    )


def read_npz(path: Path) -> ImageDataset:
    """Read `x` and `y`, or `x_train`, `y_train` and perhaps `x_test`, `y_test`.

    Raises:
        ConfigurationError: The file is damaged, lacks an array, or see `dataset_from_arrays`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigurationError(
            f"`{path}` cannot be read as .npz ({error}); write it with "
            "numpy.savez(path, x=..., y=...)"
        ) from error
    suffix = "_train" if "x_train" in arrays else ""
    train = Labelled(_named(arrays, f"x{suffix}", path), _named(arrays, f"y{suffix}", path))
    tested = "x_test" in arrays or "y_test" in arrays
    test = (
        Labelled(_named(arrays, "x_test", path), _named(arrays, "y_test", path)) if tested else None
    )
    return dataset_from_arrays(train, test, source=str(path))


def _named(arrays: dict[str, NDArray[Any]], name: str, path: Path) -> NDArray[Any]:
    if name not in arrays:
        raise ConfigurationError(
            f"`{path}` has no array `{name}`; needed are x and y, or x_train and y_train (and "
            f"x_test, y_test); {did_you_mean(name, arrays)}"
        )
    return arrays[name]


def _check_lengths(part: Labelled, source: str) -> None:
    images, labels = part
    if images.ndim and labels.ndim and len(images) != len(labels):
        raise ConfigurationError(
            f"{source}: {len(images)} pictures but {len(labels)} labels; each picture needs one"
        )


def _channels_first(images: NDArray[Any], source: str) -> NDArray[Any]:
    """Return pictures of any allowed layout as ``(n, c, h, w)``."""
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[3] in (1, 3):
        return images.transpose(0, 3, 1, 2)
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images
    raise ConfigurationError(f"{source}: pictures have shape {images.shape}; allowed: {LAYOUTS}")


def _flat_labels(labels: NDArray[Any], source: str) -> NDArray[Any]:
    """Return labels as ``(n,)``, of integers or strings."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ConfigurationError(
            f"{source}: labels have shape {labels.shape}; allowed: (n,); one-hot labels become so "
            "by y.argmax(axis=1)"
        )
    if labels.dtype.kind not in "iubU":
        raise ConfigurationError(
            f"{source}: labels are of type {labels.dtype}; allowed: integers or strings"
        )
    return labels


def _compact(images: NDArray[Any], source: str) -> Pixels:
    """Return integers from 0 to 255 as uint8, other numbers as float32."""
    if images.dtype.kind not in "iubf":
        raise ConfigurationError(
            f"{source}: pixels are of type {images.dtype}; allowed: integers or floats"
        )
    bytes_suffice = (
        images.dtype.kind != "f" and images.size and 0 <= images.min() <= images.max() <= 255
    )
    if bytes_suffice:
        return np.ascontiguousarray(images, dtype=np.uint8)
    return np.ascontiguousarray(images, dtype=np.float32)
