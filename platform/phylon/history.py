"""Everything that a study measured: its state at the end, and each candidate's way there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from phylon import events
from phylon.cluster.location import Location
from phylon.errors import StudyError
from phylon.journal import JournalReader
from phylon.state import StudyState
from phylon.study import JOURNAL


class Step(NamedTuple):
    """What a candidate reported after an epoch, at `time` in seconds since the epoch (Unix)."""

    step: int
    time: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class History:
    """A study and how it went, as reports and comparisons show it.

    Attributes:
        location: Where the study lives.
        state: All candidates, and how far the study is.
        curves: What each candidate reported, in order, by its id.
        drivers: Who ran the study, one after another.
        tests: How the test split was met: of each winner that there was at an end of the study.
        created: How the study began.
    """

    location: Location
    state: StudyState
    curves: Mapping[int, list[Step]]
    drivers: list[events.Opened]
    tests: list[events.Tested]
    created: events.Created


def read_history(location: Location) -> History:
    """Read a study's journal once.

    Raises:
        StudyError: There is no study.
        JournalError: Its journal is damaged.
    """
    folder = location / JOURNAL
    state = StudyState()
    curves: dict[int, list[Step]] = defaultdict(list)
    drivers: list[events.Opened] = []
    tests: list[events.Tested] = []
    for event in _told(state, JournalReader(folder.filesystem, folder.path).read()):
        if isinstance(event, events.Reported):
            measured = event.measurement
            curves[event.candidate_id].append(Step(measured.step, event.time, measured.metrics))
        elif isinstance(event, events.Opened):
            drivers.append(event)
        elif isinstance(event, events.Tested):
            tests.append(event)
    if state.created is None:
        raise StudyError(
            f"{location} is no study: it has no journal; `phylon list ROOT` shows the studies of "
            f"a folder"
        )
    return History(location, state, dict(curves), drivers, tests, state.created)


def _told(state: StudyState, happened: Iterable[events.Event]) -> Iterator[events.Event]:
    for event in happened:
        state.apply(event)
        yield event
