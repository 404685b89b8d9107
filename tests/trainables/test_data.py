from __future__ import annotations

import pickle
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phylon.search.errors import ConfigurationError
from phylon.trainables import ImageDataModule, ImageDataset, digits


def dataset(counts: list[int], official_test: int = 0) -> ImageDataset:
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.concatenate([labels, np.zeros(official_test, dtype=np.int64)])
    images = np.arange(len(labels) * 4).reshape(-1, 1, 2, 2).astype(np.float32)
    return ImageDataset(images, labels, tuple("abcdef"[: len(counts)]), official_test, "here")


@given(
    counts=st.lists(st.integers(3, 40), min_size=2, max_size=5),
    official_test=st.integers(0, 9),
    seed=st.integers(0, 2**32),
)
def test_splits_are_disjoint_complete_stratified_and_fixed_by_the_seed(
    counts: list[int], official_test: int, seed: int
) -> None:
    data = dataset(counts, official_test)
    split = data.split(seed)
    parts = (split.train, split.validation, split.test)
    assert sorted(np.concatenate(parts)) == list(range(len(data.labels)))
    for label, count in enumerate(counts):
        held_out = max(1, round(0.2 * count))
        assert (data.labels[split.validation] == label).sum() == held_out
        if not official_test:
            assert (data.labels[split.test] == label).sum() == held_out
        assert (data.labels[split.train] == label).any()
    again = data.split(seed)
    assert [part.tolist() for part in parts] == [
        part.tolist() for part in (again.train, again.validation, again.test)
    ]


def test_another_seed_gives_another_split() -> None:
    data = dataset([30, 30])
    assert data.split(0).train.tolist() != data.split(1).train.tolist()


def test_pictures_are_normalised_by_the_training_split() -> None:
    module = ImageDataModule(digits().dataset, seed=3, batch_size=64)
    batches = [module.on_after_batch_transfer(batch, 0) for batch in module.train_dataloader()]
    pixels = torch.cat([images for images, _ in batches])
    assert pixels.dtype == torch.float32
    assert float(pixels.mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(pixels.std()) == pytest.approx(1.0, abs=1e-3)
    held_out = module.on_after_batch_transfer(next(iter(module.val_dataloader())), 0)[0]
    assert float(held_out.mean()) != pytest.approx(0.0, abs=1e-5)


def test_a_constant_channel_does_not_become_nan() -> None:
    images = np.zeros((8, 1, 3, 3), dtype=np.uint8)
    flat = ImageDataset(images, np.arange(8) % 2, ("a", "b"), 0, "here")
    module = ImageDataModule(flat, seed=0, batch_size=4)
    batch = module.on_after_batch_transfer(next(iter(module.train_dataloader())), 0)
    assert batch[0].isfinite().all()


@pytest.mark.parametrize("batch_size", [2, 7, 64, 1000])
def test_an_epoch_holds_every_training_picture_once_and_no_batch_is_single(batch_size: int) -> None:
    data = dataset([25, 25, 25])
    module = ImageDataModule(data, seed=0, batch_size=batch_size)
    loader = module.train_dataloader()
    torch.manual_seed(1)
    first = [images[:, 0, 0, 0].tolist() for images, _ in loader]
    second = [images[:, 0, 0, 0].tolist() for images, _ in loader]
    expected = sorted(data.images[module.split.train, 0, 0, 0].tolist())
    assert sorted(chain(*first)) == sorted(chain(*second)) == expected
    assert first != second
    assert len(first) == len(loader)
    assert 1 < min(map(len, first)) <= max(map(len, first)) <= batch_size + 1


def test_shared_read_only_arrays_are_fed_without_a_warning() -> None:
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps(dataset([9, 9]), protocol=5, buffer_callback=buffers.append)
    shared = pickle.loads(text, buffers=[bytes(buffer.raw()) for buffer in buffers])  # noqa: S301
    assert not shared.images.flags.writeable
    module = ImageDataModule(shared, seed=0, batch_size=4)
    for batch in module.train_dataloader():
        images, labels = module.on_after_batch_transfer(batch, 0)
        images.zero_()
        labels.zero_()
    assert shared.images.any()


def test_batches_of_one_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 2"):
        ImageDataModule(dataset([9, 9]), seed=0, batch_size=1)
