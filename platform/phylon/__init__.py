"""phylon: population-based neural architecture search on Ray Tune, with lineage in MLflow.

Everything a user needs is exported here and loaded when first used, so that importing phylon is
quick: no torch, ray, mlflow or pyarrow.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phylon.config import StudyConfig as StudyConfig
    from phylon.errors import PhylonError as PhylonError
    from phylon.search import Architecture as Architecture
    from phylon.search import Block as Block
    from phylon.search import Candidate as Candidate
    from phylon.search import Choice as Choice
    from phylon.search import Constraint as Constraint
    from phylon.search import Context as Context
    from phylon.search import Evaluator as Evaluator
    from phylon.search import Float as Float
    from phylon.search import Integer as Integer
    from phylon.search import Measurement as Measurement
    from phylon.search import Objective as Objective
    from phylon.search import Repeat as Repeat
    from phylon.search import SearchSpace as SearchSpace
    from phylon.search import Strategy as Strategy
    from phylon.study import Study as Study
    from phylon.trainables import Task as Task

__version__ = version("phylon")

_HOMES = {
    "phylon.config": ["StudyConfig"],
    "phylon.errors": ["PhylonError"],
    "phylon.search": [
        "Architecture", "Block", "Candidate", "Choice", "Constraint", "Context", "Evaluator",
        "Float", "Integer", "Measurement", "Objective", "Repeat", "SearchSpace", "Strategy",
    ],
    "phylon.study": ["Study"],
    "phylon.trainables": ["Task"],
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
