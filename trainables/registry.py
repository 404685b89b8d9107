"""The tasks and spaces that a study file can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from phylon.search.errors import ConfigurationError
from phylon.search.evaluation import Evaluator
from phylon.search.named import Spec, load
from phylon.search.space import SearchSpace
from phylon.trainables.darts import darts_space
from phylon.trainables.image_task import digits, images
from phylon.trainables.macro import macro_space
from phylon.trainables.nasbench201 import nasbench201_space
from phylon.trainables.task import Task

TASKS: Mapping[str, Callable[..., Task]] = {"digits": digits, "images": images}
SPACES: Mapping[str, Callable[..., SearchSpace]] = {
    "darts": darts_space,
    "macro": macro_space,
    "nasbench201": nasbench201_space,
}


def load_task(spec: Spec) -> Task | Evaluator:
    """Return the task, or the evaluator, that a study file names.

    Args:
        spec: A name in `TASKS`; or ``package.module:object``, where the object is a `Task`, an
            `Evaluator`, or a class or function that returns one (the current directory is searched
            first); or a mapping with either as `name`, whose other keys are handed over.

    Raises:
        ConfigurationError: There is no such name, module or object, it is of another type, or it
            does not take these keys.
    """
    found = load("task", spec, TASKS)
    if isinstance(found, Task | Evaluator):
        return found
    raise ConfigurationError(
        f"task: {spec!r} gives a {type(found).__name__}; needed is a phylon.trainables.Task (with "
        "build and datamodule) or an evaluator (with metrics and evaluate)"
    )


def load_space(spec: Spec) -> SearchSpace:
    """Return the search space that a study file names; as `load_task`, with `SPACES`."""
    found = load("space", spec, SPACES)
    if isinstance(found, SearchSpace):
        return found
    raise ConfigurationError(
        f"space: {spec!r} gives a {type(found).__name__}; needed is a phylon.search.SearchSpace"
    )
