"""`phylon ui`: the address it prints answers, and it leaves nothing behind."""

import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from pyarrow import fs

from phylon import events
from phylon.cluster.location import Location
from phylon.errors import ConfigurationError
from phylon.journal import JournalWriter
from phylon.mlflow_client import default_uri
from phylon.ui import serve_ui
from tests.phylon.tracking import track


def make_study(folder: Path, uri: str | None = None) -> Path:
    objectives = [{"metric": "accuracy", "direction": "maximize"}]
    config = {"name": folder.name, "objectives": objectives, "tracking": {"uri": uri}}
    writer = JournalWriter(fs.LocalFileSystem(), str(folder / "journal"))
    writer.append(events.Created(uid="uid", config=config, space={}, metrics=["accuracy"]))
    writer.close()
    return folder


def test_ui_serves_the_study_until_it_is_told_to_stop(tmp_path: Path) -> None:
    study = make_study(tmp_path / "digits")
    track(study, default_uri(tmp_path))
    script = (
        "import sys; from phylon.cluster.location import Location; from phylon.ui import serve_ui;"
        "serve_ui(Location(sys.argv[1]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", script, str(study)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        address = process.stdout.readline().strip()
        base, _, page = address.partition("/#/")
        assert page.startswith("experiments/1/runs/")
        assert page.endswith("?workflowType=machine_learning")
        with urllib.request.urlopen(base) as answer:
            assert b"MLflow" in answer.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(base)
    finally:
        process.kill()
        process.communicate()


def test_study_on_a_server_has_its_address_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve_ui(Location(make_study(tmp_path / "digits", "http://mlflow.example.org:5000/")))
    assert capsys.readouterr().out == "http://mlflow.example.org:5000/#/experiments\n"


@pytest.mark.parametrize(
    ("uri", "environment", "way"),
    [
        ("http://me:secret@mlflow.example.org", {}, ""),
        (
            "http://localhost:5001",
            {"SSH_CONNECTION": "10.0.0.9 50000 10.0.0.7 2222"},
            "ssh -N -p 2222 -L 5001:127.0.0.1:5001 ada@10.0.0.7",
        ),
        (
            "http://mlflow:5000",
            {"KUBERNETES_SERVICE_HOST": "10.96.0.1"},
            "kubectl port-forward service/mlflow 5000:5000; then http://127.0.0.1:5000/#/exp",
        ),
        (
            "http://mlflow.team.svc:5000",
            {"KUBERNETES_SERVICE_HOST": "10.96.0.1"},
            "kubectl port-forward -n team service/mlflow 5000:5000",
        ),
    ],
)
def test_who_came_from_elsewhere_is_told_the_way(
    tmp_path: Path,
    uri: str,
    environment: dict[str, str],
    way: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"LOGNAME": "ada", **environment}.items():
        monkeypatch.setenv(name, value)
    serve_ui(Location(make_study(tmp_path / "digits", uri)))
    said = capsys.readouterr().out
    assert way in said
    assert said.count("\n") == 1 + bool(way)
    assert "secret" not in said


def test_taken_port_is_refused(tmp_path: Path) -> None:
    study = make_study(tmp_path / "digits")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} is taken"):
            serve_ui(Location(study), port)


@pytest.mark.parametrize("uri", ["none", ""])
def test_folder_without_runs_is_refused(tmp_path: Path, uri: str) -> None:
    folder = make_study(tmp_path / "digits", uri) if uri else tmp_path
    with pytest.raises(ConfigurationError, match=r"is not tracked.*phylon sync|neither a study"):
        serve_ui(Location(folder))
