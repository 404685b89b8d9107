"""A small Ray of our own, with GPUs that it only counts."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import ray


@pytest.fixture(scope="module")
def ray_with_gpus() -> Iterator[None]:
    with local_ray(gpus=2):
        yield


@pytest.fixture(scope="module")
def ray_with_one_gpu() -> Iterator[None]:
    with local_ray(gpus=1):
        yield


@contextmanager
def local_ray(gpus: int) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="ray-") as scratch:
        ray.init(
            address="local",
            num_cpus=4,
            num_gpus=gpus,
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _temp_dir=scratch,
        )
        yield
        ray.shutdown()
