"""Says in the words of the study file what pydantic found wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from phylon.search.architecture import dotted
from phylon.search.errors import did_you_mean

Path: TypeAlias = tuple[str | int, ...]

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text (in quotes if it looks like a number)",
    "string_too_short": "text that is not empty",
    "tuple_type": "a list, its entries begun by `-`",
}

_METRIC = "a metric that the task reports"
_ENTRIES = {
    "objectives": {"metric": _METRIC, "direction": "maximize or minimize"},
    "constraints": {
        "metric": _METRIC,
        "at_most": "the highest value allowed",
        "at_least": "the lowest value allowed",
    },
}


def messages(model: type[BaseModel], error: ValidationError) -> Iterator[tuple[Path, str]]:
    """Yield for each mistake where it is and a line that says it, the key included."""
    for detail in error.errors(include_url=False):
        path: Path = tuple(detail["loc"])
        if detail["type"] == "too_short" and detail["input"]:
            continue  # its entries are all faulty, and each is told of
        yield path, _message(model, path, detail)


def _message(model: type[BaseModel], path: Path, detail: ErrorDetails) -> str:
    kind, key = detail["type"], dotted(path)
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        known = fields_at(model, path[:-1])
        return f"unknown key `{key}`; {did_you_mean(str(path[-1]), known)}"
    if kind == "missing":
        return f"missing key `{key}`: {fields_at(model, path[:-1])[str(path[-1])]}"
    if kind in ("model_type", "dataclass_type"):
        return f"{key} is {_short(detail['input'])}; {_shape(fields_at(model, path))}"
    return f"{key} {_complaint(detail)}"


def _shape(known: dict[str, str]) -> str:
    keys = ", ".join(known)
    return (
        "it must be a name, or a mapping with a `name`"
        if keys == "name"
        else (f"it must be a mapping with the keys {keys}")
    )


def _complaint(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    value = f"is {_short(detail['input'])}"
    special: dict[str, Callable[[], str]] = {
        "greater_than": lambda: f"{value}; it must be greater than {context['gt']:g}",
        "greater_than_equal": lambda: f"{value}; it must be at least {context['ge']:g}",
        "literal_error": lambda: f"{value}; allowed: {context['expected'].replace(chr(39), '')}",
        "too_short": lambda: "is empty; it needs at least one entry",
    }
    if kind in special:
        return special[kind]()
    if kind in _EXPECTED:
        return f"{value}; it must be {_EXPECTED[kind]}"
    return f"{value}; {detail['msg'][0].lower()}{detail['msg'][1:]}"


def _short(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def fields_at(model: type[BaseModel], path: Path) -> dict[str, str]:
    """Return the keys allowed at a path, each with its description."""
    kind: Any = model
    for part in path:
        kind = _inner(kind) if isinstance(part, int) else _field_type(kind, part)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: field.description or "" for name, field in kind.model_fields.items()}
    return _ENTRIES[str(path[0])]


def _field_type(kind: Any, name: str) -> Any:  # noqa: ANN401
    annotation = kind.model_fields[name].annotation
    if get_origin(annotation) in (Union, UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def _inner(kind: Any) -> Any:  # noqa: ANN401
    entry = get_args(kind)[0]
    return getattr(entry, "__origin__", entry)
