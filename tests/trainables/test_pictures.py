from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from phylon.search.errors import ConfigurationError
from phylon.trainables import ImageDataset, load_task, read_pictures

LABELS = np.arange(12) % 3


def pictures(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, size=(12, *shape), dtype=np.uint8)


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    data = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_folder(root: Path, per_class: int = 3, **options: object) -> None:
    for label in ("cat", "dog"):
        for index in range(per_class):
            array = np.full((8, 6), 40 * index + (100 if label == "dog" else 0), dtype=np.uint8)
            path = root / label / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path, **options)


@pytest.mark.parametrize(
    ("shape", "stored"),
    [
        ((5, 4), (12, 1, 5, 4)),
        ((5, 4, 1), (12, 1, 5, 4)),
        ((5, 4, 3), (12, 3, 5, 4)),
        ((3, 5, 4), (12, 3, 5, 4)),
    ],
)
def test_npz_files_are_read_in_any_layout(
    tmp_path: Path, shape: tuple[int, ...], stored: tuple[int, ...]
) -> None:
    images = pictures(*shape)
    np.savez(tmp_path / "a.npz", x=images, y=LABELS.reshape(-1, 1))
    dataset = read_pictures(tmp_path / "a.npz")
    assert dataset.images.shape == stored
    assert dataset.images.dtype == np.uint8
    assert dataset.images.sum() == images.sum()
    assert dataset.labels.tolist() == LABELS.tolist()
    assert dataset.official_test == 0


def test_labels_may_be_any_integers_or_strings(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=pictures(4, 4), y=np.array(["b", "a", "c"] * 4))
    dataset = read_pictures(tmp_path / "a.npz")
    assert dataset.classes == ("a", "b", "c")
    assert dataset.labels[:3].tolist() == [1, 0, 2]
    np.savez(tmp_path / "b.npz", x=pictures(4, 4), y=LABELS * 10 - 5)
    assert read_pictures(tmp_path / "b.npz").classes == ("-5", "5", "15")


def test_an_official_test_split_of_an_npz_file_is_used(tmp_path: Path) -> None:
    arrays = {"x_test": pictures(4, 4)[:3], "y_test": LABELS[:3]}
    np.savez(tmp_path / "a.npz", x_train=pictures(4, 4), y_train=LABELS, **arrays)
    dataset = read_pictures(tmp_path / "a.npz")
    split = dataset.split(seed=1)
    assert split.test.tolist() == [12, 13, 14]
    assert sorted([*split.train, *split.validation]) == list(range(12))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_style_files_are_read_with_their_test_split(tmp_path: Path, suffix: str) -> None:
    images = pictures(7, 5)
    for part, many in (("train", 12), ("t10k", 5)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{suffix}", images[:many])
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{suffix}", LABELS[:many])
    dataset = read_pictures(tmp_path)
    assert dataset.images.shape == (17, 1, 7, 5)
    assert dataset.images[:12, 0].tolist() == images.tolist()
    assert dataset.official_test == 5


def test_folders_are_classes(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "dog" / "notes.txt").write_text("no picture")
    (tmp_path / ".cache").mkdir()
    dataset = read_pictures(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert dataset.images.shape == (6, 1, 8, 6)
    assert dataset.images[:, 0, 0, 0].tolist() == [0, 40, 80, 100, 140, 180]
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_folders_named_train_and_test_are_an_official_split(tmp_path: Path) -> None:
    for part, many in (("train", 3), ("val", 1), ("test", 2)):
        write_folder(tmp_path / part, many)
    dataset = read_pictures(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert len(dataset.images) == 12
    assert dataset.split(0).test.tolist() == [8, 9, 10, 11]


def test_pictures_of_different_sizes_become_equal_squares(tmp_path: Path) -> None:
    write_folder(tmp_path)
    Image.new("L", (9, 30), 255).save(tmp_path / "cat" / "0.png")
    assert read_pictures(tmp_path).images.shape == (6, 1, 6, 6)
    assert read_pictures(tmp_path, size=5).images.shape == (6, 1, 5, 5)


def test_one_picture_in_colour_makes_all_so(tmp_path: Path) -> None:
    write_folder(tmp_path)
    Image.new("RGB", (6, 8), (255, 0, 7)).save(tmp_path / "cat" / "0.png")
    dataset = read_pictures(tmp_path)
    assert dataset.images[0, :, 0, 0].tolist() == [255, 0, 7]
    assert dataset.images[1, :, 0, 0].tolist() == [40, 40, 40]


def test_transparency_becomes_white_and_16_bits_become_8(tmp_path: Path) -> None:
    write_folder(tmp_path)
    Image.new("LA", (6, 8), (0, 0)).save(tmp_path / "cat" / "0.png")
    Image.fromarray(np.full((8, 6), 0x8000, dtype=np.uint16)).save(tmp_path / "cat" / "1.png")
    assert read_pictures(tmp_path).images[:2, 0, 0, 0].tolist() == [255, 128]


def test_phone_pictures_are_turned_upright(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    write_folder(tmp_path, exif=turned)
    assert read_pictures(tmp_path).images.shape == (6, 1, 6, 8)


def break_two(root: Path) -> None:
    write_folder(root)
    (root / "cat" / "1.png").write_bytes(b"no picture")
    whole = (root / "dog" / "2.png").read_bytes()
    (root / "dog" / "2.png").write_bytes(whole[: len(whole) // 2])


def lonely(root: Path) -> None:
    write_folder(root)
    (root / "bird").mkdir()
    Image.new("L", (6, 8)).save(root / "bird" / "only.png")


def unlabelled_idx(root: Path) -> None:
    write_idx(root / "train-images-idx3-ubyte", pictures(4, 4))


def cut_idx(root: Path) -> None:
    unlabelled_idx(root)
    write_idx(root / "train-labels-idx1-ubyte", LABELS)
    path = root / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-5])


def broken_gzip(root: Path) -> None:
    (root / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8bno")
    write_idx(root / "train-labels-idx1-ubyte", LABELS)


def npz(**arrays: object) -> Callable[[Path], None]:
    return lambda root: np.savez(root / "a.npz", **arrays)


@pytest.mark.parametrize(
    ("prepare", "place", "told"),
    [
        (lambda _: None, "nowhere", "does not exist"),
        (lambda _: None, "", "no pictures found"),
        (lambda root: (root / "cat").mkdir(), "", "no pictures found in its 1 folders"),
        (break_two, "", r"2 of 6 pictures do not open: `cat/1.png`, `dog/2.png`"),
        (lonely, "", r"`bird` \(1\).*at least 3"),
        (unlabelled_idx, "", "no labels beside it; add `train-labels-idx1-ubyte`"),
        (cut_idx, "", r"train-images-idx3-ubyte.*has 203 bytes.*208"),
        (broken_gzip, "", r"train-images-idx3-ubyte.gz.*cannot be read"),
        (lambda root: (root / "a.npz").write_bytes(b"PK no"), "a.npz", "cannot be read as .npz"),
        (lambda root: (root / "a.csv").write_text("1,2"), "a.csv", "an .npz file with"),
        (npz(x=pictures(4, 4)), "a.npz", "no array `y`"),
        (npz(x=pictures(4, 4), y=LABELS[:5]), "a.npz", "12 pictures but 5 labels"),
        (npz(x=pictures(4), y=LABELS), "a.npz", r"shape \(12, 4\)"),
        (npz(x=pictures(4, 4, 7), y=LABELS), "a.npz", r"shape \(12, 4, 4, 7\)"),
        (npz(x=pictures(4, 4), y=np.eye(12)), "a.npz", "argmax"),
        (npz(x=pictures(4, 4), y=LABELS / 2), "a.npz", "float64"),
        (npz(x=pictures(4, 4), y=LABELS * 0), "a.npz", "1 class"),
        (npz(x=pictures(4, 4), y=np.arange(12) // 11), "a.npz", r"`1` \(1\)"),
        (npz(x=pictures(4, 4) * np.nan, y=LABELS), "a.npz", "NaN or infinity"),
        (npz(x=pictures(1, 9), y=LABELS), "a.npz", "1x9 pixels"),
        (npz(x=pictures(4, 4).astype(str), y=LABELS), "a.npz", "pixels are of type"),
    ],
)
def test_unusable_pictures_are_refused_and_named(
    tmp_path: Path, prepare: Callable[[Path], None], place: str, told: str
) -> None:
    prepare(tmp_path)
    with pytest.raises(ConfigurationError, match=told) as caught:
        load_task({"name": "images", "path": str(tmp_path / place)})
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_size_is_for_folders_only(tmp_path: Path) -> None:
    npz(x=pictures(4, 4), y=LABELS)(tmp_path)
    with pytest.raises(ConfigurationError, match="size: 8"):
        read_pictures(tmp_path / "a.npz", size=8)
    with pytest.raises(ConfigurationError, match="too small"):
        read_pictures(tmp_path, size=1)


def test_the_digest_changes_with_any_pixel_and_label() -> None:
    def digest(pixel: int = 0, label: int = 0) -> str:
        images = np.full((6, 1, 2, 2), pixel, dtype=np.uint8)
        labels = np.array([0, 1, 0, 1, 0, 1]) ^ label
        return ImageDataset(images, labels, ("a", "b"), 0, "here").digest

    assert digest() == digest()
    assert len({digest(), digest(pixel=1), digest(label=1)}) == 3
