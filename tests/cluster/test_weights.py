"""Published weights: found wherever the study is, and refused in words when they are not whole."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from phylon.cluster import SerialExecutor
from phylon.cluster.location import Location
from phylon.cluster.weights import ROOM_BYTES, Lender, read_weights
from phylon.errors import EvaluationError
from phylon.search import Candidate, Context, Measurement
from tests.cluster.store import Store
from tests.cluster.studies import new_driver

WEIGHTS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7)}


def publish(study: Location, data: bytes) -> None:
    (study / "candidates" / 3 / "weights.safetensors").write(data)


def check(study: Location) -> None:
    publish(study, save(WEIGHTS))
    found = read_weights(study, 3).arrays
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
        (save(WEIGHTS, {"phylon": "{"}), r"cannot be read \(.*put the file back"),
        (struct.pack("<Q", len(repr(HALF))) + repr(HALF).replace("'", '"').encode() + b"abcd",
         r"numbers of type BF16, which NumPy does not have; let .* float32"),
    ],
    ids=["missing", "no weights", "cut off", "no JSON", "bfloat16"],
)  # fmt: skip
def test_weights_that_are_not_whole_are_named_with_the_cure(
    tmp_path: Path, data: bytes | None, told: str
) -> None:
    study = Location(tmp_path)
    if data is not None:
        publish(study, data)
    with pytest.raises(EvaluationError, match=told):
        read_weights(study, 3)


def test_what_is_told_of_weights_is_read_with_them(tmp_path: Path) -> None:
    study = Location(tmp_path)
    publish(study, save(WEIGHTS, {"phylon": '{"architecture": {"x": 1}}', "tied": "a"}))
    (study / "candidates" / 3 / "optimizer.safetensors").write(save({"exp_avg:a": WEIGHTS["a"]}))
    found = read_weights(study, 3)
    assert found.about == {"architecture": {"x": 1}}
    assert found.arrays.keys() == {"a", "steps", "tied"}
    assert found.arrays["tied"] is found.arrays["a"]
    assert np.array_equal(found.optimizer["exp_avg:a"], WEIGHTS["a"])
    (study / "candidates" / 3 / "optimizer.safetensors").write(b"what")
    with pytest.raises(EvaluationError, match=r"`.*/3/optimizer\.safetensors` cannot be read"):
        read_weights(study, 3)


def test_of_many_weights_those_stay_that_are_asked_for(tmp_path: Path) -> None:
    study, lender = Location(tmp_path), Lender()

    def lend(candidate_id: int, lost: str = "") -> object:
        return asyncio.run(lender.lend(study, candidate_id, lost))

    half = ROOM_BYTES // 2
    for candidate_id in range(2):
        lender.hold(candidate_id, bytes([candidate_id]), half)
    assert lend(0) == (b"\0",)
    lender.hold(2, b"\2", half)
    assert lend(0) == (b"\0",)
    assert "/candidates/1/weights.safetensors` does not exist" in str(lend(1))
    lender.hold(3, b"\3", 5 * ROOM_BYTES)
    assert lend(3) == (b"\3",), "the last always stays"
    assert "does not exist" in str(lend(0))


def test_weights_that_are_lost_are_looked_for_in_the_storage(tmp_path: Path) -> None:
    study, lender = Location(tmp_path), Lender()
    lender.hold(3, b"\3", 1)
    assert asyncio.run(lender.lend(study, 3, lost="ff")) == (b"\3",), "another one was lost"
    assert "does not exist" in str(asyncio.run(lender.lend(study, 3, lost="03")))


class Sum:
    """Adds up what candidate 3 has published; for candidate 0 that which is not there."""

    metrics = ("y",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        weights = context.weights(3 if candidate.id else 4).arrays
        context.report(Measurement(1, {"y": float(weights["a"].sum())}, 0.0))


def test_a_serial_executor_lends_weights(tmp_path: Path) -> None:
    publish(Location(tmp_path), save(WEIGHTS))
    driver = new_driver(tmp_path, 3)
    SerialExecutor(Location(tmp_path)).run(driver, Sum())
    records = driver.state.records
    assert records[0].reason.startswith(f"`{tmp_path}/candidates/4/weights.safetensors` does not")
    assert [records[i].metrics for i in (1, 2)] == [{"y": 15.0}, {"y": 15.0}]
