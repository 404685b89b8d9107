"""The time that drivers ran a study, and the lanes in which candidates ran beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylon.history import History

OVERLAP = 0.1
"""By so much of its own length a stay may begin before the one before it in its lane ends: what a
candidate took is known to the worker, when it ended only to the driver, a little later."""

Floats = NDArray[np.float64]


class Pause(NamedTuple):
    """A time without a driver, both ends in seconds since the epoch (Unix)."""

    began: float
    ended: float


@dataclass(frozen=True)
class Clock:
    """Counts the seconds during which a driver ran, from the beginning of the study.

    Attributes:
        pauses: When none did, between the first and the last time.
        total: How long drivers ran in all.
    """

    pauses: tuple[Pause, ...]
    total: float
    _moments: Floats
    _readings: Floats

    @classmethod
    def of(cls, history: History) -> Clock:
        """Make the clock of a study.

        A driver that was killed ran until the last thing that is known of its time.
        """
        records = history.state.records.values()
        known = [record.ended for record in records if record.ended is not None]
        known += [record.started for record in records]
        known += [step.time for steps in history.curves.values() for step in steps]
        if history.state.ending:
            known.append(history.state.ending.time)
        begins = np.array([driver.time for driver in history.drivers] or [history.created.time])
        moments = np.sort(np.concatenate([known, begins]))
        last = np.searchsorted(moments, [*begins[1:], np.inf]) - 1  # the last one of each driver
        ends = np.maximum(moments[last], begins)
        pairs = zip(ends[:-1], begins[1:], strict=True)
        readings = np.concatenate([[0.0], np.repeat(np.cumsum(ends - begins), 2)[:-1]])
        return cls(
            tuple(Pause(float(began), float(ended)) for began, ended in pairs),
            float(readings[-1]),
            np.stack([begins, ends], axis=1).ravel(),
            readings,
        )

    def read(self, moments: Floats) -> Floats:
        """Return what the clock read at moments, in seconds since the epoch (Unix)."""
        return np.asarray(np.interp(moments, self._moments, self._readings))


def lanes(begins: Sequence[float], ends: Sequence[float]) -> list[int]:
    """Return for each stay a lane from 0 in which it overlaps with no other, by more than a little.

    A stay takes the first lane that is free, so there are as few as there can be.
    """
    taken = [0] * len(begins)
    free_from: list[float] = []
    for place in np.lexsort((ends, begins)).tolist():
        begin = begins[place] + OVERLAP * (ends[place] - begins[place])
        lane = next((i for i, end in enumerate(free_from) if end <= begin), len(free_from))
        if lane == len(free_from):
            free_from.append(0.0)
        free_from[lane] = ends[place]
        taken[place] = lane
    return taken
