"""Finding what a study file names: something built in, or the user's own by import path."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias, TypeVar

from phylon.search.errors import ConfigurationError, did_you_mean

T = TypeVar("T")
Spec: TypeAlias = str | Mapping[str, Any]


def load(key: str, spec: Spec, known: Mapping[str, Callable[..., object]]) -> object:
    """Return what is named under a key of a study file.

    Args:
        key: The key, for messages.
        spec: A name in `known`; or ``package.module:object``, where a class or function is called
            (the current directory is searched first); or a mapping with either as `name`, whose
            other keys are handed over.
        known: What is built in.

    Raises:
        ConfigurationError: There is no such name, module or object, or it does not take these keys.
    """
    if isinstance(spec, str):
        name, settings = spec, {}
    elif isinstance(spec, Mapping) and isinstance(spec.get("name"), str):
        name = spec["name"]
        settings = {key: value for key, value in spec.items() if key != "name"}
    else:
        raise ConfigurationError(
            f"{key}: {spec!r} is no {key}; allowed: a name ({', '.join(known)}), "
            "`package.module:object`, or a mapping with `name` and what it takes"
        )
    if ":" in name:
        return _imported(key, name, settings)
    if name not in known:
        raise ConfigurationError(
            f"{key}: unknown {key} `{name}`; {did_you_mean(name, known)}; your own is written "
            "`package.module:object`"
        )
    return _call(known[name], key, name, settings)


def import_object(key: str, name: str) -> object:
    """Return what ``package.module:object`` names; the current directory is searched first.

    Args:
        key: The key of the study file that names it, for messages.
        name: What is named.

    Raises:
        ConfigurationError: There is no such module or object, or importing it raised.
    """
    module_name, _, attribute = name.partition(":")
    module = _module(key, module_name, name)
    if attribute not in vars(module):
        own = [word for word, value in vars(module).items() if _is_own(word, value, module)]
        hint = did_you_mean(attribute, own) if own else "nothing is defined there"
        raise ConfigurationError(f"{key}: `{module_name}` has no `{attribute}`; {hint}")
    found: object = vars(module)[attribute]
    return found


def _is_own(word: str, value: object, module: ModuleType) -> bool:
    """Whether a public name of a module is what its author wrote there, as far as can be told.

    Classes and functions know where they are from; other objects count unless they are of a type
    of Python's own, such as modules and plain constants.
    """
    if word.startswith("_"):
        return False
    if f"{getattr(value, '__module__', '')}.".startswith(f"{module.__name__}."):
        return True
    origin = type(value).__module__.partition(".")[0]
    return not inspect.isclass(value) and origin not in sys.stdlib_module_names


def _imported(key: str, name: str, settings: Mapping[str, Any]) -> object:
    found = import_object(key, name)
    if inspect.isclass(found) or inspect.isroutine(found):
        return _call(found, key, name, settings)
    if settings:
        raise ConfigurationError(
            f"{key}: `{name}` is an object and takes no {', '.join(settings)}; name its class, or "
            "a function that returns it"
        )
    return found


def _module(key: str, module_name: str, name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        # Kept there: the module may import its neighbours later, and Ray hands the path to workers.
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigurationError(
                f"{key}: `{name}`: there is no module `{error.name}`; it was looked for in {here} "
                "and among the installed packages"
            ) from error
        raise _import_failed(key, name, error) from error
    except Exception as error:
        raise _import_failed(key, name, error) from error


def _import_failed(key: str, name: str, error: Exception) -> ConfigurationError:
    if isinstance(error, SyntaxError):
        place = f"{error.filename}, line {error.lineno}"
    else:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename}, line {last.lineno}"
    return ConfigurationError(
        f"{key}: `{name}`: importing it raised {type(error).__name__}: {error} ({place})"
    )


def _call(factory: Callable[..., T], key: str, name: str, settings: Mapping[str, Any]) -> T:
    """Call a factory with settings after checking that it takes them."""
    signature = inspect.signature(factory)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    for word in settings:
        if word not in signature.parameters and not open_ended:
            hint = (
                did_you_mean(word, signature.parameters)
                if signature.parameters
                else "it takes none"
            )
            raise ConfigurationError(f"{key}: `{name}` takes no `{word}`; {hint}")
    try:
        signature.bind(**settings)
    except TypeError as error:
        raise ConfigurationError(
            f"{key}: `{name}`: {error}; write what it takes as {{name: {name}, key: value}}: "
            f"{', '.join(signature.parameters)}"
        ) from error
    return factory(**settings)
