"""Pictures in IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist/) and its likes."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylon.search.errors import ConfigurationError
from phylon.trainables.arrays import Labelled, dataset_from_arrays
from phylon.trainables.dataset import ImageDataset

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
TEST_NAMES = ("t10k", "test")


def is_idx_folder(folder: Path) -> bool:
    """Whether a folder holds pictures in IDX files."""
    return bool(_picture_files(folder))


def read_idx(folder: Path) -> ImageDataset:
    """Read ``*images*idx*`` files and the ``*labels*idx*`` files beside them, plain or ``.gz``.

    Files with `t10k` or `test` in their names are the official test split.

    Raises:
        ConfigurationError: A file of labels is missing, a file is damaged, there is more than one
            file of a kind, or see `dataset_from_arrays`.
    """
    parts: dict[bool, list[Path]] = {True: [], False: []}
    for path in _picture_files(folder):
        parts[any(name in path.name.lower() for name in TEST_NAMES)].append(path)
    for paths in parts.values():
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise ConfigurationError(f"`{folder}` holds {names}; keep the one that is meant")
    tests, trains = parts[True], parts[False]
    if not trains:
        raise ConfigurationError(
            f"`{folder}` holds a test split only ({tests[0].name}); add the pictures to train on"
        )
    test = _labelled(tests[0]) if tests else None
    return dataset_from_arrays(_labelled(trains[0]), test, source=str(folder))


def _picture_files(folder: Path) -> list[Path]:
    """Return the files of pictures in a folder; of a file and its ``.gz``, the file."""
    names = sorted(path.name for path in folder.glob("*images*idx*") if path.is_file())
    return [
        folder / name
        for name in names
        if name.removesuffix(".gz") not in names or name[-3:] != ".gz"
    ]


def _labelled(images: Path) -> Labelled:
    stem = images.name.removesuffix(".gz").replace("images", "labels")
    stems = [stem.replace(f"idx{dimensions}", "idx1") for dimensions in (3, 4)]
    for name in (f"{stem}{suffix}" for stem in stems for suffix in ("", ".gz")):
        if (labels := images.with_name(name)).is_file():
            return Labelled(_read(images), _read(labels))
    raise ConfigurationError(f"`{images}` has no labels beside it; add `{min(stems)}` or its .gz")


def _read(path: Path) -> NDArray[Any]:
    """Read one array: two zero bytes, type, number of dimensions, dimensions, numbers."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError(f"`{path}` cannot be read ({error}); fetch it again") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in TYPES:
        raise ConfigurationError(f"`{path}` does not begin like an IDX file; fetch it again")
    start = 4 + 4 * data[3]
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4))
    dtype = np.dtype(TYPES[data[2]])
    expected = start + int(np.prod(shape)) * dtype.itemsize
    if len(data) != expected:
        raise ConfigurationError(
            f"`{path}` has {len(data)} bytes where its header tells of {expected}; fetch it again"
        )
    return np.frombuffer(data, dtype, offset=start).reshape(shape)
