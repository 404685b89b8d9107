"""`phylon submit` before it meets a cluster: ids, commands, and what is refused at once."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from phylon import StudyConfig
from phylon.cli import main
from phylon.errors import ConfigurationError
from phylon.submission import Submission, study_id, submission, versions_inside_a_job

STUDY = """\
name: toy
task: mine:Mine
objectives: [{metric: y, direction: maximize}]
budget: {candidates: 8}
storage: /mnt/studies
"""
NOWHERE = "http://127.0.0.1:1"  # a port that nobody listens at


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    return folder


def config(**fields: Any) -> StudyConfig:
    settings = {
        "name": "toy",
        "task": "mine:Mine",
        "objectives": [{"metric": "y", "direction": "maximize"}],
        "budget": {"candidates": 8},
        "storage": "/mnt/studies",
    }
    return StudyConfig.build(**{**settings, **fields})


def prepare(
    folder: Path, overrides: tuple[str, ...] = (), env: tuple[str, ...] = (), **fields: Any
) -> Submission:
    return submission(config(**fields), folder / "study.yaml", folder, overrides, env)


def said_by(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one error of a command that ends with exit code 2."""
    assert main(["submit", *words, "--address", NOWHERE]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    return output.err


# --- the id


def test_the_id_follows_from_name_and_storage_alone() -> None:
    here = study_id(config())
    assert here.startswith("phylon-toy-")
    assert study_id(config(budget={"candidates": 99}, seed=3, resources={"cpus": 2})) == here
    assert study_id(config(storage="/mnt/studies/")) == here
    others = {study_id(config(name="toy2")), study_id(config(storage="/mnt/others"))}
    assert len(others | {here}) == 3


def test_the_id_is_the_same_in_another_process() -> None:
    code = (
        "from phylon import StudyConfig; from phylon.submission import study_id; "
        f"print(study_id(StudyConfig.from_json({config().to_json()!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == study_id(config())


# --- the command


def test_the_command_survives_the_shell(folder: Path) -> None:
    (folder / "a b").mkdir()
    overrides = ("name=x y", "objectives.0.metric='z'", "final={top: 1}")
    inner = folder / "a b" / "study.yaml"
    entrypoint = submission(config(), inner, folder, overrides, ()).entrypoint
    said = subprocess.run(
        f"python() {{ printf '%s\\n' \"$@\"; }}; {entrypoint}",
        shell=True, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    options = [word for each in overrides for word in ("--set", each)]
    assert said.splitlines() == ["-m", "phylon", "run", "a b/study.yaml", "--resume", *options]


def test_python_m_phylon_is_the_command_line(folder: Path) -> None:
    command = [sys.executable, "-m", "phylon", "run", str(folder / "none.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no study file" in done.stderr


def test_variables_are_given_or_taken_from_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret=1")
    prepared = prepare(folder, env=("A=1=2", "EMPTY=", "MLFLOW_TRACKING_TOKEN"))
    assert prepared.env == {"A": "1=2", "EMPTY": "", "MLFLOW_TRACKING_TOKEN": "secret=1"}
    assert "secret" not in repr(prepared)


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("NOT_SET_HERE", "--env NOT_SET_HERE: it is not set here"),
        ("=1", "`` is no name; write NAME or NAME=VALUE"),
        ("a-b=1", "`a-b` is no name"),
    ],
)
def test_mistaken_variables(folder: Path, variable: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        prepare(folder, env=(variable,))


def test_versions_are_said_inside_a_job_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert versions_inside_a_job() == ""
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    said = versions_inside_a_job()
    for name in ("python", "phylon", "ray", "torch"):
        assert f"{name} " in said


# --- paths that mean nothing on a cluster


@pytest.mark.parametrize("storage", ["studies", "./studies", "../studies", "~/studies"])
def test_storage_inside_the_job_is_refused(folder: Path, storage: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^storage: is .* by its absolute path"):
        prepare(folder, storage=storage)


def test_the_default_storage_is_refused_with_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "study.yaml").write_text(STUDY.replace("storage: /mnt/studies\n", ""))
    said = said_by("study.yaml", capsys=capsys)
    assert said.startswith("error: study.yaml: storage: is `studies`")


@pytest.mark.parametrize(
    "fields",
    [
        {"tracking": {"uri": "sqlite:///runs.db"}},
        {"tracking": {"uri": "sqlite+pysqlite:///sub/runs.db"}},
        {"task": {"name": "images", "path": "../pictures"}},
        {"task": {"name": "images", "path": "data/../../pictures"}},
        {"space": {"name": "mine:space", "table": ".."}},
        {"strategy": {"name": "mine:Learned", "model": "../model.pt"}},
        {"warm_start": ["studies/old", "../studies/old"]},
    ],
)
def test_paths_out_of_the_shipped_folder_are_refused(folder: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        prepare(folder, **fields)
    key = str(caught.value).partition(":")[0]
    assert key.partition(".")[0] in fields
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"tracking": {"uri": "sqlite:////mnt/runs.db"}},
        {"tracking": {"uri": "http://mlflow:5000"}},
        {"tracking": {"uri": "none"}},
        {"task": {"name": "images", "path": "data/pictures"}},
        {"task": {"name": "images", "path": "/mnt/pictures"}},
        {"task": {"name": "images", "path": "data/../pictures"}},
        {"task": {"name": "images", "path": "."}},
        {"task": {"name": "mine:Mine", "prefix": ""}},
        {"strategy": {"name": "mine:Learned", "ending": "..x"}},
        {
            "storage": "s3://bucket/studies?endpoint_override=http%3A%2F%2Fhost%3A9000",
            "tracking": {"uri": "none"},
        },
    ],
)
def test_other_paths_are_allowed(folder: Path, fields: dict[str, Any]) -> None:
    assert prepare(folder, **fields).study.startswith("phylon-toy-")


def test_runs_that_have_no_place_are_refused_before_anything_is_shipped(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^tracking\.uri: null keeps the runs"):
        prepare(folder, storage="s3://bucket/studies")


# --- refused by the command, with no cluster asked


def test_a_study_file_elsewhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder.parent / "study.yaml").write_text(STUDY)
    said = said_by("../study.yaml", capsys=capsys)
    assert "../study.yaml is outside of" in said
    assert str(folder) in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.yaml"], "there is no study file none.yaml"),
        (["study.yaml", "--set", "budgte.candidates=3"], "unknown key `budgte`"),
        (["study.yaml", "--name", "a/b"], 'name="a/b": name is'),
        (["study.yaml", "--set", "storage=here"], "--set storage=here: storage: is `here`"),
        (["study.yaml", "--set", "storage=ftp://x"], "ftp"),
        (["study.yaml"], f"--address {NOWHERE} does not answer"),
    ],
)
def test_mistakes(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (folder / "study.yaml").exists()
    assert message in said_by(*words, capsys=capsys)


@pytest.mark.parametrize("address", ["auto", "head:8265", "ray://head:10001", "http://head:x", ""])
def test_what_is_no_web_address(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--address", address]) == 2
    assert "http://HEAD:8265" in capsys.readouterr().err


def test_the_address_may_be_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 2
    assert "RAY_ADDRESS" in capsys.readouterr().err
    monkeypatch.setenv("RAY_ADDRESS", NOWHERE)
    assert main(["status"]) == 2
    assert f"{NOWHERE} does not answer" in capsys.readouterr().err


def test_without_rays_default_extra() -> None:
    code = """
import sys, socket
sys.modules["aiohttp"] = None
from phylon.cli import main
server = socket.create_server(("127.0.0.1", 0))
sys.exit(main(["status", "--address", f"http://127.0.0.1:{server.getsockname()[1]}"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'ray[default]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_answers_but_is_no_job_server(capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=os.sep,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        port = shlex.split(server.stdout.readline())[5]
        try:
            assert main(["status", "--address", f"http://127.0.0.1:{port}"]) == 2
        finally:
            server.terminate()
    assert f"http://127.0.0.1:{port}" in capsys.readouterr().err
