"""The command line: what it prints, what it exits with, and what it leaves alone."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from phylon.cli import main
from phylon.cluster.connect import ray_cluster
from phylon.events import Finished
from phylon.study import Study

STUDY = """\
name: tiny
task: toys:bowl
space: toys:space
strategy: {name: random}
objectives: [{metric: score, direction: maximize}]
budget: {candidates: 4}
resources: {cpus: 0.5}
tracking: {uri: none}
"""
TOYS = """\
from phylon.search import Candidate, Context, Integer, Measurement, SearchSpace

space = SearchSpace(width=Integer(1, 1000))


class Bowl:
    metrics = ("score",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        score = -abs(candidate.architecture["width"] - 500.0)
        context.report(Measurement(step=1, metrics={"score": score}, seconds=0.0))


class Broken:
    metrics = ("score",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        raise ValueError("this toy is broken")


bowl, broken = Bowl(), Broken()
"""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a study file and the module it names, and a Ray that finds it."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "study.yaml").write_text(STUDY)
    (folder / "toys.py").write_text(TOYS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.setenv("COLUMNS", "120")
        with ray_cluster():
            yield folder


# --- before any study


def test_help_and_import_are_light() -> None:
    heavy = "{'torch', 'ray', 'mlflow', 'pyarrow', 'pydantic', 'numpy', 'rich'} & set(sys.modules)"
    script = f"import sys, phylon; from phylon.cli import main; main(['--help']); print({heavy})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"
    for command in ("run", "resume", "show", "lineage", "list", "ui", "init"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize(
    "arguments", [["shw"], ["run"], ["run", "x.yaml", "--fast"], ["show"], ["ui", "--port", "0"]]
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "Error: " in capsys.readouterr().err


def test_init_writes_a_file_that_runs_and_never_overwrites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    assert main(["init", str(file)]) == 0
    text = file.read_text()
    assert "candidates: 30" in text
    file.write_text("mine")
    assert main(["init", str(file)]) == 2
    assert file.read_text() == "mine"
    assert "exists; name another file" in capsys.readouterr().err
    assert main(["init", str(tmp_path / "no" / "folder.yaml")]) == 2


def test_a_faulty_study_file_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(STUDY)
    assert main(["run", "study.yaml", "--set", "budget.candidates=0", "--set", "oder=free"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        "error: --set budget.candidates=0: budget.candidates is 0; it must be greater than 0"
    )
    assert second.startswith("error: --set oder=free: unknown key `oder`; did you mean `order`?")
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


@pytest.mark.parametrize("command", ["show", "resume", "lineage"])
def test_a_folder_that_is_no_study(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert "is no study" in told
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="is no study"):
        main(["--debug", "show", str(tmp_path)])


# --- running a study


IN_PROCESS = """\
import functools, sys
from phylon.cli import main
from phylon.study import Study
Study.run = functools.partialmethod(Study.run, in_process=True)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("broken", ["stdout", "stderr"])
@pytest.mark.parametrize(("task", "code"), [("bowl", 0), ("broken", 3)])
def test_a_study_goes_its_way_though_nobody_reads(
    broken: str, task: str, code: int, workshop: Path
) -> None:
    name = f"unread-{broken}-{task}"
    command = [sys.executable, "-c", IN_PROCESS, "run", "study.yaml"]
    command += ["--set", f"name={name}", "--set", f"task=toys:{task}"]
    reading, writing = os.pipe()
    os.close(reading)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, broken: writing}
    done = subprocess.run(command, cwd=workshop, text=True, check=False, **streams)
    os.close(writing)
    assert done.returncode == code
    state = Study.open(workshop / "studies" / name).state()
    assert len(state.records) == 4
    assert isinstance(state.ending, Finished)
    told = done.stdout if broken == "stderr" else done.stderr
    assert ("finished, " if broken == "stderr" else "search 4/4 done") in told


@pytest.mark.usefixtures("workshop")
def test_run_then_refuse_then_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "study.yaml"]) == 0
    told = capsys.readouterr()
    assert "search 4/4 done" in told.err
    assert "tiny  finished, 4 completed, 0 failed, 0 open" in told.out

    assert main(["run", "study.yaml"]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert "--resume" in told.err

    for again in (["run", "study.yaml", "--resume"], ["resume", "studies/tiny"]):
        assert main(again) == 0
        assert "tiny  finished, 4 completed" in capsys.readouterr().out


@pytest.mark.usefixtures("workshop")
def test_a_study_whose_candidates_all_fail_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "study.yaml", "--set", "name=broken", "--set", "task=toys:broken"]) == 3
    told = capsys.readouterr()
    assert "4 x ValueError: this toy is broken" in told.out
    assert "error: the study failed: no candidate completed" in told.err


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("strategy.name=randm", "unknown strategy `randm`; did you mean `random`?"),
        ("task=digit", "unknown task `digit`; did you mean `digits`?"),
        ("objectives.0.metric=scor", "does not report `scor`; did you mean `score`?"),
        (
            "task=toys:ball",
            "`toys` has no `ball`; Known: Bowl, Broken, bowl, broken, space\n",
        ),
        ("resources.gpus=0.3", "nearest 0.25 (1/4) and 0.3333 (1/3)"),
        ("resources.cpus=10000", "ask for less"),
    ],
)
def test_what_the_task_or_the_cluster_refuses_has_a_place_too(
    override: str, complaint: str, workshop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "study.yaml", "--set", "name=never", "--set", override]) == 2
    told = capsys.readouterr().err
    key = re.split("[.=]", override)[0]
    places = (f"error: --set {override}: {key}", rf"error: study\.yaml, line \d: {key}: ")
    assert re.search("|".join(places), told)
    assert complaint in told
    assert not (workshop / "studies" / "never").exists()
