"""What all tests share: one thread per process, no ports or files outside, no error logs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.cluster.store import ENV, Store, moto

os.environ.update(
    {
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
)
settings.register_profile("phylon", deadline=None)
settings.load_profile("phylon")
os.environ.pop("RAY_ADDRESS", None)


@pytest.fixture(autouse=True)
def no_error_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test during which phylon logged an error."""
    yield
    for when in ("setup", "call"):
        records = caplog.get_records(when)
        errors = [r for r in records if r.levelno >= logging.ERROR and r.name.startswith("phylon")]
        assert not errors, [record.getMessage() for record in errors]


@pytest.fixture(scope="session")
def object_store() -> Iterator[Store]:
    """Run an object store for all tests that need one."""
    os.environ.update(ENV)
    with moto() as store:
        yield store


@pytest.fixture
def store(object_store: Store) -> Store:
    """Return the object store, with a fresh bucket."""
    object_store.new_bucket()
    return object_store
