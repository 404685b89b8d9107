"""Finding what a study is to search over: a task by name, or the user's own by import path."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from phylon.search.errors import ConfigurationError, PhylonError, did_you_mean
from phylon.search.evaluation import Evaluator
from phylon.trainables.image_task import digits, images
from phylon.trainables.task import Task

TaskSpec: TypeAlias = str | Mapping[str, Any]

TASKS: Mapping[str, Callable[..., Task]] = {"digits": digits, "images": images}


def load_task(spec: TaskSpec) -> Task | Evaluator:
    """Return the task, or the evaluator, that a study file names.

    Args:
        spec: A name in `TASKS`; or ``package.module:object``, where the object is a `Task`, an
            `Evaluator`, or a class or function that returns one (the current directory is searched
            first); or a mapping with either as `name`, whose other keys are handed over.

    Raises:
        ConfigurationError: There is no such name, module or object, it is of another type, or it does
            not take these keys.
    """
    if isinstance(spec, str):
        name, settings = spec, {}
    elif isinstance(spec, Mapping) and isinstance(spec.get("name"), str):
        name = spec["name"]
        settings = {key: value for key, value in spec.items() if key != "name"}
    else:
        raise ConfigurationError(
            f"task: {spec!r} is no task; allowed: a name ({', '.join(TASKS)}), "
            "`package.module:object`, or a mapping with `name` and what it takes"
        )
    if ":" in name:
        return _imported(name, settings)
    if name not in TASKS:
        raise ConfigurationError(
            f"task: unknown task `{name}`; {did_you_mean(name, TASKS)}; your own is written "
            "`package.module:object`"
        )
    return _call(TASKS[name], name, settings)


def _imported(name: str, settings: Mapping[str, Any]) -> Task | Evaluator:
    module_name, _, attribute = name.partition(":")
    module = _module(module_name, name)
    if attribute not in vars(module):
        public = [word for word in vars(module) if not word.startswith("_")]
        raise ConfigurationError(
            f"task: `{module_name}` has no `{attribute}`; {did_you_mean(attribute, public)}"
        )
    found = vars(module)[attribute]
    if inspect.isclass(found) or inspect.isroutine(found):
        found = _call(found, name, settings)
    elif settings:
        raise ConfigurationError(
            f"task: `{name}` is an object and takes no {', '.join(settings)}; name its class, or a "
            "function that returns it"
        )
    if not isinstance(found, Task | Evaluator):
        raise ConfigurationError(
            f"task: `{name}` gives a {type(found).__name__}; needed is a phylon.trainables.Task "
            "(build, datamodule) or an evaluator (metrics, evaluate)"
        )
    return found


def _module(module_name: str, name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        # Kept there: the module may import its neighbours later, and Ray hands the path to workers.
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigurationError(
                f"task: `{name}`: there is no module `{error.name}`; it was looked for in {here} and "
                "among the installed packages"
            ) from error
        raise _import_failed(name, error) from error
    except Exception as error:  # noqa: BLE001 - the user's module may raise anything
        raise _import_failed(name, error) from error


def _import_failed(name: str, error: Exception) -> ConfigurationError:
    if isinstance(error, SyntaxError):
        place = f"{error.filename}, line {error.lineno}"
    else:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename}, line {last.lineno}"
    return ConfigurationError(
        f"task: `{name}`: importing it raised {type(error).__name__}: {error} ({place})"
    )


def _call(factory: Callable[..., Any], name: str, settings: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Call a factory with settings after checking that it takes them."""
    signature = inspect.signature(factory)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    for key in settings:
        if key not in signature.parameters and not open_ended:
            hint = did_you_mean(key, signature.parameters) if signature.parameters else "it takes none"
            raise ConfigurationError(f"task: `{name}` takes no `{key}`; {hint}")
    try:
        signature.bind(**settings)
    except TypeError as error:
        raise ConfigurationError(
            f"task: `{name}`: {error}; write what it takes as {{name: {name}, key: value}}: "
            f"{', '.join(signature.parameters)}"
        ) from error
    return factory(**settings)
