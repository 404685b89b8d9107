"""Published weights: found wherever the study is, and refused in words when they are not whole."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from phylon.cluster import SerialExecutor
from phylon.cluster.location import Location
from phylon.cluster.weights import read_weights
from phylon.errors import EvaluationError
from phylon.search import Candidate, Context, Measurement
from tests.cluster.store import Store
from tests.cluster.studies import new_driver

WEIGHTS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7)}


def publish(study: Location, data: bytes) -> None:
    (study / "candidates" / 3 / "weights.safetensors").write(data)


def check(study: Location) -> None:
    publish(study, save(WEIGHTS))
    found = read_weights(study, 3)
    assert {name: array.tolist() for name, array in found.items()} == {
        name: array.tolist() for name, array in WEIGHTS.items()
    }
    with pytest.raises(ValueError, match="read-only"):
        found["a"][0, 0] = 1.0  # type: ignore[index]


def test_weights_are_found_in_a_folder(tmp_path: Path) -> None:
    check(Location(tmp_path))


def test_weights_are_found_in_a_store(store: Store) -> None:
    check(store.location())


HALF = {"__metadata__": {}, "a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, r"`.*/3/weights\.safetensors` does not exist.* candidate 3 .*put the file back"),
        (b"what", r"`.*/3/weights\.safetensors` cannot be read \(.*put the file back"),
        (save(WEIGHTS)[:-4], r"cannot be read \(.*put the file back"),
        (struct.pack("<Q", len(repr(HALF))) + repr(HALF).replace("'", '"').encode() + b"abcd",
         r"numbers of type BF16, which NumPy does not have; let .* float32"),
    ],
    ids=["missing", "no weights", "cut off", "bfloat16"],
)  # fmt: skip
def test_weights_that_are_not_whole_are_named_with_the_cure(
    tmp_path: Path, data: bytes | None, told: str
) -> None:
    study = Location(tmp_path)
    if data is not None:
        publish(study, data)
    with pytest.raises(EvaluationError, match=told):
        read_weights(study, 3)


class Sum:
    """Adds up what candidate 3 has published; for candidate 0 that which is not there."""

    metrics = ("y",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        weights = context.weights(3 if candidate.id else 4)
        context.report(Measurement(1, {"y": float(weights["a"].sum())}, 0.0))


def test_a_serial_executor_lends_weights(tmp_path: Path) -> None:
    publish(Location(tmp_path), save(WEIGHTS))
    driver = new_driver(tmp_path, 3)
    SerialExecutor(Location(tmp_path)).run(driver, Sum())
    records = driver.state.records
    assert records[0].reason.startswith(f"`{tmp_path}/candidates/4/weights.safetensors` does not")
    assert [records[i].metrics for i in (1, 2)] == [{"y": 15.0}, {"y": 15.0}]
