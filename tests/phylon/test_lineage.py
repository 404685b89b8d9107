"""The lineage as a table, as Parquet and as JSON."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylon import events
from phylon.errors import ConfigurationError
from phylon.lineage import lineage_rows, lineage_table, write_parquet
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement
from phylon.state import StudyState

COLUMNS = {"id", "phase", "parents", "operator", "generation", "state", "metrics", "key"}


def created() -> events.Created:
    objectives = [{"metric": "accuracy", "direction": "maximize"}]
    config = {"name": "digits", "objectives": objectives}
    return events.Created(uid="uid", config=config, space={}, metrics=["accuracy", "loss"])


def small_study() -> StudyState:
    first = Candidate(0, Architecture({"lr": 0.1}), seed=7)
    second = Candidate(1, Architecture({"lr": 0.2}), (0,), "mutate", generation=1)
    third = Candidate(2, Architecture({"lr": 0.3}), (0, 1), "crossover", generation=2)
    measured = Measurement(3, {"accuracy": 0.9, "loss": float("nan"), "extra": 1.0}, 1.5)
    done = {"seconds": 4.5, "resources": {"cpus": 0.5, "gpus": 0.25}, "node": "n1"}
    return StudyState(
        [
            created(),
            *(events.Proposed(candidate=c, time=1000.5) for c in (first, second, third)),
            events.Reported(candidate_id=0, measurement=measured),
            events.Completed(candidate_id=0, metrics=measured.metrics, time=1005.25, **done),
            events.Failed(candidate_id=1, reason="out of memory", time=1002.0),
        ]
    )


def test_table_tells_of_each_candidate_what_became_of_it() -> None:
    rows = lineage_table(small_study(), {0: "run-0"}).to_pylist()
    assert [row["id"] for row in rows] == [0, 1, 2]
    assert [row["state"] for row in rows] == ["completed", "failed", "pending"]
    assert [row["parents"] for row in rows] == [[], [0], [0, 1]]
    assert [row["mlflow_run_id"] for row in rows] == ["run-0", None, None]
    assert [row["reason"] for row in rows] == ["", "out of memory", ""]
    best = rows[0]
    assert json.loads(best["architecture"]) == {"lr": 0.1}
    assert (best["epochs"], best["seed"], best["seconds"]) == (3, 7, 4.5)
    assert (best["cpus"], best["gpus"], best["node"]) == (0.5, 0.25, "n1")
    assert best["started"].timestamp() == 1000.5
    assert best["ended"].timestamp() == 1005.25
    assert rows[2]["ended"] is None
    assert (best["metrics"]["accuracy"], best["metrics"]["extra"]) == (0.9, 1.0)
    assert rows[1]["metrics"] == {"accuracy": None, "loss": None, "extra": None}


def test_rows_are_strict_json_with_the_same_content() -> None:
    rows = lineage_rows(small_study(), {0: "run-0"})
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert COLUMNS | {"mlflow_run_id", "architecture", "reason"} <= set(rows[0])
    assert rows[0]["metrics"] == {"accuracy": 0.9, "loss": None, "extra": 1.0}
    assert rows[0]["architecture"] == {"lr": 0.1}
    assert (rows[2]["operator"], rows[2]["mlflow_run_id"]) == ("crossover", None)


def test_study_that_has_no_candidates_yet_is_an_empty_table(tmp_path: Path) -> None:
    file = tmp_path / "lineage.parquet"
    write_parquet(StudyState([created()]), {}, file)
    table = pq.read_table(file)
    assert table.num_rows == 0
    assert set(table.column_names) >= COLUMNS


def test_file_names_its_study_and_objectives(tmp_path: Path) -> None:
    file = tmp_path / "lineage.parquet"
    write_parquet(small_study(), {}, file)
    metadata = pq.read_schema(file).metadata
    assert metadata[b"phylon.study"] == b"uid"
    assert json.loads(metadata[b"phylon.objectives"])[0]["metric"] == "accuracy"


def test_file_that_cannot_be_written_is_a_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no-such-folder.*cannot be written"):
        write_parquet(small_study(), {}, tmp_path / "no-such-folder" / "lineage.parquet")
    (tmp_path / "taken").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_parquet(small_study(), {}, tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


METRICS = st.dictionaries(st.text(min_size=1, max_size=5), st.floats(allow_nan=False), max_size=3)


@settings(max_examples=25, deadline=None)
@given(st.lists(METRICS, max_size=5))
def test_parquet_round_trips(tmp_path_factory: pytest.TempPathFactory, found: list) -> None:
    state = StudyState([created()])
    for number, metrics in enumerate(found):
        candidate = Candidate(number, Architecture({"lr": 0.1, "width": number}))
        state.apply(events.Proposed(candidate=candidate))
        measurement = Measurement(1, metrics, 0.1)
        state.apply(events.Reported(candidate_id=number, measurement=measurement))
    file = tmp_path_factory.mktemp("parquet") / "lineage.parquet"
    write_parquet(state, {}, file)
    table = pq.read_table(file)
    assert table.equals(lineage_table(state, {}), check_metadata=True)
    for row, metrics in zip(table.to_pylist(), found, strict=True):
        assert {k: v for k, v in row["metrics"].items() if v is not None} == metrics
