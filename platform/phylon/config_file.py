"""Reads a study file, with `--set` on top, and says of every mistake in which line it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import yaml
from pydantic import BaseModel, ValidationError

from phylon import config_errors
from phylon.config import StudyConfig
from phylon.errors import ConfigurationError
from phylon.search.architecture import dotted

Key: TypeAlias = tuple[str | int, ...]
_COMPONENTS = ("task", "space", "strategy", "initial")
_LEADING_KEY = re.compile(r"(\w+(?:\.\w+)*): ")
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """YAML that means what it looks like: `no` is text, `1e-3` is a number, no aliases."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own convention

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call] # untyped in the stubs
            problem = "aliases (`*`) are not supported; write the value out"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]{0,17})", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(_TAG + _tag, re.compile(f"(?:{_pattern})$"), _first)


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> StudyConfig:
    """Read a study file; see `read_study_file`."""
    return read_study_file(path, overrides).config


def read_study_file(path: Path | str, overrides: Sequence[str] = ()) -> StudyFile:
    """Read a study file.

    Args:
        path: The file.
        overrides: Values that replace those of the file, as ``dotted.key=value``; the value is
            read as YAML.

    Raises:
        ConfigurationError: The file cannot be read or says something that is not allowed; one line
            for each mistake, with file and line, or the override.
    """
    source = _Source(str(path))
    data = source.parse(_read(Path(path)))
    for override in overrides:
        source.override(data, override)
    try:
        config = StudyConfig.model_validate(data)
    except ValidationError as error:
        found = sorted(config_errors.messages(StudyConfig, error), key=source.order)
        lines = [f"{source.place(key)}: {text}" for key, text in found]
        raise ConfigurationError("\n".join(lines)) from None
    return StudyFile(config, source)


def read_setting(text: str, place: str, example: str) -> tuple[list[str], object]:
    """Return the parts of the key, and the value, of ``dotted.key=value``, the value being YAML.

    Args:
        text: What to read.
        place: Where it was given, for messages.
        example: Another one, for messages.

    Raises:
        ConfigurationError: It is no key and value.
    """
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        cure = f"write it as key=value, for example {example}"
        raise ConfigurationError(f"{place}: not a key and a value; {cure}")
    try:
        return parts, yaml.load(value, _Loader)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or error
        reason = f"the value is not valid YAML: {problem}; put it in quotes"
        raise ConfigurationError(f"{place}: {reason}") from None


class StudyFile:
    """What a study file says, and where it says so.

    Args:
        config: What it says.
        source: Where.
    """

    def __init__(self, config: StudyConfig, source: _Source) -> None:
        self.config = config
        self._source = source

    def located(self, error: ConfigurationError) -> ConfigurationError:
        """Return an error that begins with a key, as in ``strategy.name: ...``, with its place."""
        keys = _LEADING_KEY.match(str(error))
        if not keys or keys[1].split(".")[0] not in StudyConfig.model_fields:
            return error
        parts = [int(part) if part.isdecimal() else part for part in keys[1].split(".")]
        return ConfigurationError(f"{self._source.place(tuple(parts))}: {error}")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        cure = f"check the name, or write one with `phylon init {path}`"
        raise ConfigurationError(f"there is no study file {path}; {cure}") from None
    except IsADirectoryError:
        cure = f"name a study file, or go on with a study by `phylon resume {path}`"
        raise ConfigurationError(f"{path} is a folder; {cure}") from None
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8 text (byte {error.start}); save it as UTF-8"
        raise ConfigurationError(f"{path} {reason}") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None


class _Source:
    """Remembers where every key came from.

    Args:
        name: The file's name, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._places: dict[Key, str] = {(): name}

    def place(self, key: Key) -> str:
        """Return where a key was given, or else the nearest key around it."""
        return self._places[self._nearest(key)]

    def order(self, message: tuple[Key, str]) -> int:
        """Return a number that grows down the file, for a message about a key in it."""
        return list(self._places).index(self._nearest(message[0]))

    def parse(self, text: str) -> dict[str, Any]:
        """Return the file's data and note the line of each key."""
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
            if node is None:
                self._fail(1, "the study file is empty; `phylon init` writes one to start from")
            if not isinstance(node, yaml.MappingNode):
                self._fail(1, "a study file is a mapping, like `name: my-study`")
            self._note(node, ())
            data: dict[str, Any] = loader.construct_document(node)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._fail(mark.line + 1 if mark else 1, f"not valid YAML: {error.problem}")
        except (yaml.YAMLError, RecursionError) as error:
            self._fail(1, f"not valid YAML: {' '.join(str(error).split())}")
        return data

    def override(self, data: dict[str, Any], text: str) -> None:
        """Put one ``dotted.key=value`` into the data."""
        place = f"--set {text}"
        parts, parsed = read_setting(text, place, "budget.candidates=40")
        for key in _assign(data, parts, parsed, place):
            stale = [old for old in self._places if old[: len(key)] == key]
            for old in stale:
                del self._places[old]
            self._places[key] = place

    def _nearest(self, key: Key) -> Key:
        while key not in self._places:
            key = key[:-1]
        return key

    def _note(self, node: yaml.Node, key: Key) -> None:
        if isinstance(node, yaml.SequenceNode):
            for position, item in enumerate(node.value):
                self._places[(*key, position)] = self._line(item)
                self._note(item, (*key, position))
        elif isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                line = name.start_mark.line + 1
                if not isinstance(name, yaml.ScalarNode) or not name.tag.endswith(":str"):
                    self._fail(line, f"the key `{_text(name)}` must be text")
                inner = (*key, str(name.value))
                if inner in self._places:
                    first = self._places[inner].rpartition(" ")[2]
                    reason = f"is given twice, first in line {first}; remove one"
                    self._fail(line, f"the key `{dotted(inner)}` {reason}")
                self._places[inner] = self._line(name)
                self._note(value, inner)

    def _line(self, node: yaml.Node) -> str:
        return f"{self._name}, line {node.start_mark.line + 1}"

    def _fail(self, line: int, reason: str) -> NoReturn:
        raise ConfigurationError(f"{self._name}, line {line}: {reason}") from None


def _text(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "?"


def _assign(data: dict[str, Any], parts: list[str], value: object, place: str) -> list[Key]:
    """Put a value where the parts lead, and return the keys of all that was made on the way."""
    container: Any = data
    key: Key = ()
    made: list[Key] = []
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        step = _step(container, part, key, place)
        key = (*key, step)
        if following is None or _is_new(container, step) or container[step] is None:
            made.append(key)
        if following is None:
            _put(container, step, value)
        else:
            container = _descend(container, key, following, place)
    return made


def _step(container: object, part: str, key: Key, place: str) -> str | int:
    if not isinstance(container, list):
        return part
    if part.isdecimal() and int(part) <= len(container):
        return int(part)
    listing = dotted(key)
    reason = f"`{listing}` is a list of {len(container)}; `{part}` is not a position in it"
    cure = f"use 0 to {len(container)}, the last of which adds one"
    raise ConfigurationError(f"{place}: {reason}; {cure}")


def _is_new(container: Any, step: str | int) -> bool:  # noqa: ANN401
    return step not in container if isinstance(step, str) else step == len(container)


def _put(container: Any, step: str | int, value: object) -> None:  # noqa: ANN401
    if isinstance(step, int) and step == len(container):
        container.append(value)
    else:
        container[step] = value


def _descend(container: Any, key: Key, following: str, place: str) -> Any:  # noqa: ANN401
    step = key[-1]
    inner = _default(key) if _is_new(container, step) else container[step]
    if inner is None:
        inner = [] if following.isdecimal() else {}
    elif isinstance(inner, str) and key[0] in _COMPONENTS and len(key) == 1:
        inner = {"name": inner}
    if not isinstance(inner, dict | list):
        reason = f"`{dotted(key)}` is {inner!r} and has no keys"
        raise ConfigurationError(f"{place}: {reason}")
    _put(container, step, inner)
    return inner


def _default(key: Key) -> Any:  # noqa: ANN401
    """Return what stands at a key that the file leaves out, as plain data; None for nothing."""
    fields = StudyConfig.model_fields
    if len(key) != 1 or key[0] not in fields or fields[str(key[0])].is_required():
        return None
    default = fields[str(key[0])].default
    return default.model_dump() if isinstance(default, BaseModel) else default
