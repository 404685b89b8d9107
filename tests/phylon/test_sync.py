"""`phylon sync` sends a study to an MLflow, whole and once, and says what it did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from phylon import Study
from phylon.cli import FAILED, FINISHED, WRONG_USAGE, main
from phylon.lock import hold
from phylon.mlflow_client import default_uri
from phylon.mlflow_record import RunRecord
from tests.phylon.toy import journal, run
from tests.phylon.tracking import Proxy, Server, running, runs_of

NewStudy = Callable[..., Study]


def sync(study: Study, *options: str) -> int:
    return main(["sync", str(study.folder), *options])


def assert_whole(study: Study, client: MlflowClient) -> None:
    """Check that every candidate of a toy study is there once, with both of its values."""
    parent, children = runs_of(study.config.name, client)
    assert sorted(children) == list(range(study.config.budget.candidates))
    assert {each.info.status for each in (parent, *children.values())} == {"FINISHED"}
    for child in children.values():
        points = client.get_metric_history(child.info.run_id, "y")
        assert sorted(point.step for point in points) == [1, 2]
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert "report.html" in files


def test_a_study_that_was_never_tracked_is_sent_once(
    new_study: NewStudy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study, uri = new_study(), default_uri(tmp_path)
    run(study)
    with monkeypatch.context() as broken:
        broken.setattr("sys.executable", "false")
        assert sync(study, "--tracking", uri) == FAILED
    said = capsys.readouterr().err
    assert "`phylon report` failed: exit code 1; mend that, then call `phylon sync` again" in said
    for file in (study.folder / "tracking").glob("*.jsonl"):
        file.unlink()
    assert sync(study, "--tracking", uri) == FINISHED
    said = capsys.readouterr().out
    assert f"sent {len(journal(study))} events" in said
    assert f"8 candidates are in {uri}" in said
    assert_whole(study, MlflowClient(uri))
    assert study.run_ids().keys() == set(range(8))
    assert sync(study, "--tracking", uri) == FINISHED
    assert "nothing was missing" in capsys.readouterr().out
    assert_whole(study, MlflowClient(uri))


def test_what_cannot_be_sent_is_refused_with_the_cure(
    new_study: NewStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = new_study()
    assert main(["sync", str(tmp_path / "nowhere")]) == WRONG_USAGE
    assert "is no study" in capsys.readouterr().err
    run(study)
    assert sync(study) == WRONG_USAGE
    assert "--tracking http://HOST:PORT" in capsys.readouterr().err
    assert sync(study, "--tracking", "mlruns") == WRONG_USAGE
    assert "sqlite:///FILE" in capsys.readouterr().err
    assert sync(study, "--tracking", "http://127.0.0.1:9") == FAILED
    said = capsys.readouterr().err
    assert "Connection refused" in said
    assert "check that the server runs" in said


def test_two_never_send_a_study_to_the_same_place_at_once(
    new_study: NewStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, uri, other = new_study(), default_uri(tmp_path), default_uri(tmp_path / "other")
    run(study)
    with RunRecord.of(study.location, uri).held():
        assert sync(study, "--tracking", uri) == WRONG_USAGE
        assert "another process sends this study to" in capsys.readouterr().err
        with hold(study.location):
            assert sync(study, "--tracking", uri) == WRONG_USAGE
            assert "its driver sends it to" in capsys.readouterr().err
            assert sync(study, "--tracking", other) == FINISHED
    assert_whole(study, MlflowClient(other))


@pytest.mark.slow
def test_what_a_dying_server_did_not_take_is_sent_by_the_next_call(
    new_study: NewStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = new_study()
    run(study)
    with running(Server(tmp_path)) as server, Proxy(server.port) as proxy:
        for last in (5, 12, 12):
            proxy.requests.clear()
            proxy.answer = lambda number, last=last: (404, {}, b"gone") if number > last else None
            assert sync(study, "--tracking", proxy.uri) == FAILED
            assert "call `phylon sync` again" in capsys.readouterr().err
        proxy.answer = lambda _: None
        assert sync(study, "--tracking", proxy.uri) == FINISHED
        # The same server under another name: what is there is found.
        assert sync(study, "--tracking", server.uri) == FINISHED
        assert_whole(study, MlflowClient(server.uri))
