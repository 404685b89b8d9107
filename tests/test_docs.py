"""What the documentation says is true: examples run, study files load, commands and keys exist."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules, resolve_name
from types import NoneType
from typing import Any, get_args

import click
import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from phylon.cli import cli
from phylon.config import StudyConfig
from phylon.config_file import load_config
from phylon.config_supernet import Supernet
from phylon.search import STRATEGIES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
PACKAGES = ("phylon", "phylon.search", "phylon.trainables", "phylon.cluster")
LEAST = {
    "name": "least",
    "task": "digits",
    "objectives": [{"metric": "val_accuracy", "direction": "maximize"}],
    "budget": {"candidates": 1},
}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXTS[page], re.DOTALL | re.MULTILINE)


def every(language: str) -> list[Any]:
    found = ((page, text) for page in TEXTS for text in blocks(page, language))
    return [pytest.param(text, id=f"{page}-{i}") for i, (page, text) in enumerate(found)]


def modules() -> Iterator[str]:
    for package in PACKAGES:
        yield package
        found = iter_modules(import_module(package).__path__, f"{package}.")
        yield from (module.name for module in found)


@pytest.mark.parametrize("page", [page for page in TEXTS if blocks(page, "python")])
def test_examples_run(page: str, tmp_path: Path) -> None:
    script = tmp_path / f"test_{page.removesuffix('.md').lower()}.py"
    script.write_text("\n".join(blocks(page, "python")), encoding="utf-8")
    has_tests = "import pytest" in script.read_text(encoding="utf-8")
    how = (
        ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
        if has_tests
        else ["-W", "error::SyntaxWarning"]
    )
    done = subprocess.run(
        [sys.executable, *how, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", every("yaml"))
def test_study_files_load(text: str, tmp_path: Path) -> None:
    data = yaml.safe_load(text)
    whole = data if "name" in data else {**LEAST, **data}
    file = tmp_path / "study.yaml"
    file.write_text(text if whole is data else yaml.safe_dump(whole), encoding="utf-8")
    assert load_config(file).name == whole["name"]


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda p: p.name)
def test_examples_load(path: Path) -> None:
    assert load_config(path).name == path.stem


def find_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command, in whatever group it is, and what follows it."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        command, words = command.commands[words[0]], words[1:]
    return command, words


def commands(group: click.Group = cli) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield command
        if isinstance(command, click.Group):
            yield from commands(command)


@pytest.mark.parametrize("text", every("sh"))
def test_commands_exist(text: str) -> None:
    for line in text.replace("\\\n", " ").splitlines():
        match shlex.split(line, comments=True):
            case ["phylon", *words]:
                command, arguments = find_command(words)
                command.make_context(words[0], arguments)
            case ["make", target]:
                assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
            case ["python", script, *_]:
                assert (ROOT / script).is_file()
            case words:
                assert not words, f"who checks `{line}`?"


@pytest.mark.parametrize("page", TEXTS)
def test_what_the_text_names_exists(page: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", TEXTS[page], flags=re.DOTALL | re.MULTILINE)
    for name, rest in re.findall(r"`phylon ([a-z]+)([^`]*)`", prose):
        command, _ = find_command([name, *rest.split()])
        options = {o for parameter in command.params for o in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, f"phylon {name}{rest}"
    for is_module, script in re.findall(r"`python (-m )?([^\s`]+)", prose):
        name = f"{script.replace('.', '/')}.py" if is_module else script
        assert (ROOT / name).is_file(), script
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", prose):
        assert (ROOT / ("docs" if page != "README.md" else "") / target).is_file(), target
    for name in re.findall(r"`(phylon\.[\w.]+)`", prose):
        assert resolve_name(name), name


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every key of the study file with its field."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}", field
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from keys(kind, f"{prefix}{name}.")


def default_of(field: FieldInfo) -> str:
    """Return what the table of keys must say of a field's default."""
    if field.is_required():
        return "-"
    if isinstance(field.default, BaseModel):
        return ""
    if field.default == ():
        return "[]"
    return "null" if isinstance(field.default, NoneType) else str(field.default)


def test_every_key_of_the_study_file_is_told_with_its_default() -> None:
    section = TEXTS["study-file.md"].partition("\n## Tasks\n")[0]
    rows = re.findall(r"^\| `([a-z_.0]+)` \| (.*?) ?\| (.+) \|$", section, re.MULTILINE)
    told = {key: default for key, default, _ in rows}
    expected = {key: default_of(field) for key, field in keys(StudyConfig)}
    for key in ("strategy", "initial"):
        expected[f"{key}.name"] = StudyConfig.model_fields[key].default.name
    expected["supernet.scoring.cpus"] = str(Supernet().scoring.cpus)
    expected |= {"objectives.0.metric": "-", "objectives.0.direction": "-"}
    expected |= {f"constraints.0.{key}": "-" for key in ("metric", "at_most", "at_least")}
    assert told == expected


def test_every_strategy_is_told_with_its_parameters() -> None:
    section = TEXTS["study-file.md"].partition("\n## Strategies\n")[2]
    rows = re.findall(r"^\| `(\w+)`(\*?) \| (.*?) ?\| .+ \|$", section, re.MULTILINE)
    told = {(name, star): dict(re.findall(r"`(\w+)` ([\w.]+)", text)) for name, star, text in rows}
    assert told == {
        (name, "*" * recipe.several_objectives): {
            parameter: str(default).lower() for parameter, default in recipe.parameters.items()
        }
        for name, recipe in STRATEGIES.items()
    }


@pytest.mark.parametrize("name", list(modules()))
def test_doctests(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0


def test_help_is_there_for_every_option() -> None:
    for command in commands():
        assert command.help
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, parameter.name
