"""Pictures in folders, one folder per class."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from phylon.search.errors import ConfigurationError
from phylon.trainables.dataset import ImageDataset, some

LARGEST_COMMON_SIDE = 64  # pixels; what pictures of different sizes become unless a size is given
TRAIN, TEST, VALIDATION = "train", "test", ("val", "valid", "validation")
GREY_MODES = ("1", "L", "LA", "La", "F", "I", "I;16", "I;16B", "I;16L", "I;16N")
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
TRANSPOSED = range(5, 9)  # orientations that swap height and width
ORIENTATION = 0x0112


class Shape(NamedTuple):
    """What a picture's header tells: upright size in pixels, and whether it is in colour."""

    height: int
    width: int
    colour: bool


def is_class_folder(folder: Path) -> bool:
    """Whether a folder holds folders."""
    return any(_folders(folder))


def read_folder(folder: Path, size: int | None = None) -> ImageDataset:
    """Read a folder of classes, or one with such folders named ``train`` and ``test``.

    In the latter ``test`` is the official test split, and a validation folder is training data:
    validation pictures are drawn by the study. Files that are no pictures by their suffix, and
    hidden ones, are ignored. Colour, if in any picture, is for all; transparency becomes white.

    Args:
        folder: Where the classes are.
        size: Resize to squares of so many pixels. By default only pictures of different sizes are
            resized, to the median of their shorter sides, at most 64.

    Raises:
        ConfigurationError: There are no pictures, some do not open, or see `ImageDataset`.
    """
    roots, tests = _roots(folder)
    classes = sorted({place.name for root in (*roots, *tests) for place in _folders(root)})
    files = {part: _files(places, classes) for part, places in (("train", roots), ("test", tests))}
    listed = [*files["train"], *files["test"]]
    if not listed:
        raise ConfigurationError(f"`{folder}`: no pictures found in its {len(classes)} folders")
    pixels = _decode([path for path, _ in listed], folder, size)
    return ImageDataset(
        images=pixels,
        labels=np.array([label for _, label in listed], dtype=np.int64),
        classes=tuple(classes),
        official_test=len(files["test"]),
        source=str(folder),
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _roots(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders that hold the classes: to train on, and of the official test split."""
    named = {place.name.lower(): place for place in _folders(folder)}
    if not {TRAIN, TEST} <= named.keys() <= {TRAIN, TEST, *VALIDATION}:
        return [folder], []
    return [place for name, place in named.items() if name != TEST], [named[TEST]]


def _files(roots: list[Path], classes: list[str]) -> list[tuple[Path, int]]:
    """Return every picture file and the index of its class."""
    suffixes = Image.registered_extensions()
    return [
        (path, label)
        for label, name in enumerate(classes)
        for root in roots
        for path in sorted((root / name).rglob("*"))
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    ]


def _decode(paths: list[Path], folder: Path, size: int | None) -> NDArray[np.uint8]:
    """Return pictures as uint8 of shape ``(n, c, h, w)``, all alike."""
    broken: dict[Path, str] = {}
    shapes: dict[Path, Shape] = {}
    for path in paths:
        try:
            shapes[path] = _shape(path)
        except UNREADABLE as error:
            broken[path] = str(error)
    colour = any(shape.colour for shape in shapes.values())
    height, width = _common_size(list(shapes.values()), size)
    pixels = np.empty((len(paths), 3 if colour else 1, height, width), dtype=np.uint8)
    for index, path in enumerate(paths):
        if path in broken:
            continue
        try:
            pixels[index] = _pixels(path, height, width, colour=colour)
        except UNREADABLE as error:
            broken[path] = str(error)
    if broken:
        names = [f"`{path.relative_to(folder)}`" for path in broken]
        raise ConfigurationError(
            f"`{folder}`: {len(broken)} of {len(paths)} pictures do not open: {some(names)}; "
            "repair or remove them"
        )
    return pixels


def _shape(path: Path) -> Shape:
    with Image.open(path) as picture:
        width, height = picture.size
        if picture.getexif().get(ORIENTATION) in TRANSPOSED:
            width, height = height, width
        return Shape(height, width, picture.mode not in GREY_MODES)


def _common_size(shapes: list[Shape], size: int | None) -> tuple[int, int]:
    if size is not None or not shapes:
        return size or 0, size or 0
    sizes = {(shape.height, shape.width) for shape in shapes}
    if len(sizes) == 1:
        return sizes.pop()
    side = int(statistics.median(min(shape.height, shape.width) for shape in shapes))
    return min(side, LARGEST_COMMON_SIDE), min(side, LARGEST_COMMON_SIDE)


def _pixels(path: Path, height: int, width: int, *, colour: bool) -> NDArray[np.uint8]:
    """Return one picture as ``(c, height, width)``."""
    with Image.open(path) as opened:
        picture = ImageOps.exif_transpose(opened)
        if picture.mode.startswith("I"):  # 16 bits of grey
            high = np.clip(np.asarray(picture, dtype=np.int64), 0, 65535) >> 8
            picture = Image.fromarray(high.astype(np.uint8))
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            paper = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(paper, picture)
        picture = picture.convert("RGB" if colour else "L")
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    array = np.asarray(picture)
    return array.transpose(2, 0, 1) if colour else array[None]
