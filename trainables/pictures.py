"""Reading anybody's pictures: which kind of file or folder it is, and what it must hold."""

from __future__ import annotations

from pathlib import Path

from phylon.search.errors import ConfigurationError
from phylon.trainables.arrays import read_npz
from phylon.trainables.dataset import SMALLEST_SIDE, ImageDataset
from phylon.trainables.folders import is_class_folder, read_folder
from phylon.trainables.idx import is_idx_folder, read_idx

KINDS = (
    "an .npz file with x and y (or x_train, y_train, x_test, y_test), a folder of MNIST-style IDX "
    "files, or a folder with a folder of pictures per class"
)


def read_pictures(path: str | Path, size: int | None = None) -> ImageDataset:
    """Read labelled pictures.

    - ``.npz``: arrays `x` and `y`, or `x_train`, `y_train` and, as the official test split,
      `x_test`, `y_test`. Pictures are ``(n, h, w)``, ``(n, h, w, c)`` or ``(n, c, h, w)`` with 1
      or 3 channels; labels are integers or strings.
    - A folder of IDX files: ``*images*idx3*`` beside ``*labels*idx1*``, also ``.gz``; names with
      `t10k` or `test` are the official test split.
    - A folder of folders: every folder is a class; or ``train/`` and ``test/`` hold such folders.
      Pictures that differ in size are resized to squares of the median of their shorter sides, at
      most 64 pixels; if any is in colour, all become so.

    Args:
        path: File or folder.
        size: Resize the pictures of a folder to squares of so many pixels.

    Raises:
        ConfigurationError: There is no such path, it is of no such kind, or its pictures or labels
            are unusable: which, and how many.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise ConfigurationError(
            f"pictures: `{place}` does not exist (looked in {Path.cwd()}); give {KINDS}"
        )
    if size is not None and size < SMALLEST_SIDE:
        raise ConfigurationError(f"pictures: `size: {size}` is too small; allowed: 2 or more")
    as_idx = place.is_dir() and is_idx_folder(place)
    if place.is_dir() and not as_idx and is_class_folder(place):
        return read_folder(place, size)
    if size is not None:
        raise ConfigurationError(
            f"pictures: `size: {size}` is for folders of pictures, but `{place}` holds arrays or "
            "nothing: drop `size`"
        )
    if as_idx:
        return read_idx(place)
    if place.suffix == ".npz" and place.is_file():
        return read_npz(place)
    raise ConfigurationError(f"pictures: no pictures found in `{place}`; give {KINDS}")
