"""What can be written to the runs of a study in MLflow, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from phylon.mlflow_notes import Note

MAX_PARAM = 6000
MAX_TAG = 8000
"""Characters that MLflow takes; what is longer is cut when it is written."""


class Point(NamedTuple):
    """One value of a metric, at `time` in milliseconds since the epoch."""

    key: str
    value: float
    time: int
    step: int


@dataclass(frozen=True, slots=True)
class Birth:
    """How a run begins, at `time` in milliseconds since the epoch."""

    name: str
    time: int
    tags: dict[str, str]


@dataclass(slots=True)
class RunWrites:
    """What is to be written to one run, in any order but for its birth.

    Attributes:
        birth: How to create the run; None if it exists.
        params: Decisions and settings.
        tags: Tags to set.
        metrics: Points to add.
        note: What the run's page says at its top; None if that does not change.
        status: MLflow's status of the run and since when, in milliseconds since the epoch.
    """

    birth: Birth | None = None
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[Point] = field(default_factory=list)
    note: Note | None = None
    status: tuple[str, int] | None = None


Plan = dict[int, RunWrites]
"""What is to be written, by the candidate's id, or `STUDY`."""


def milliseconds(seconds: float) -> int:
    """Return a time as MLflow counts it."""
    return int(seconds * 1000)


def fitted(text: str, most: int) -> str:
    r"""Return text as databases take it: not too long, without NUL and halves of characters.

    >>> fitted("caf\udce9 is missing", 8), fitted("a\0b", 8)
    ('caf? is ', 'a?b')
    """
    return text[:most].replace("\0", "?").encode(errors="replace").decode()


def points(metrics: Mapping[str, float], time: int, step: int) -> list[Point]:
    """Return points of several metrics, by key, at one time."""
    return [Point(key, float(value), time, step) for key, value in metrics.items()]
