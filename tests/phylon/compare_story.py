"""Studies with results that are known beforehand, written as a driver would have."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from phylon import events
from phylon.cluster.location import Location
from phylon.config import StudyConfig
from phylon.journal import JournalWriter
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate
from phylon.state import StudyState

HOUR = 3600.0
Result = dict[str, float] | float | None


def history(
    results: Sequence[Result],
    *,
    name: str = "told",
    fields: Sequence[dict[str, Any]] = (),
    held: dict[str, float] | None = None,
    digest: str = "0123",
    space: dict[str, Any] | None = None,
    uid: str = "",
    is_finished: bool = True,
    **config: Any,
) -> list[events.Event]:
    """Return the events of a study whose candidates end one after another, an hour each.

    Args:
        results: Of each candidate its metrics, or only `y`; None if it failed.
        name: The study's.
        fields: Of the first candidates, what is not the default, e.g. ``epochs``.
        held: The resources of each; two CPUs unless told.
        digest: Of the data.
        space: The space as JSON.
        uid: The study's unique name; made from name and seed unless told.
        is_finished: Whether the study is at its end.
        **config: Keys of the study file.
    """
    goals = [{"metric": "y", "direction": "maximize"}]
    settings = {"name": name, "task": "digits", "objectives": goals, "strategy": "random"}
    asked = StudyConfig.build(**{**settings, "budget": {"candidates": 9}, **config})
    clock = itertools.count(1_700_000_000.0, HOUR)
    told: list[events.Event] = [
        events.Created(
            time=next(clock),
            uid=uid or f"{name}-{asked.seed}",
            config=asked.to_json(),
            space=space or {},
            metrics=["y"],
            fingerprint={"name": "digits", "digest": digest},
        ),
        events.Opened(time=next(clock), host="h", pid=1, versions={}, budget={"candidates": 9}),
    ]
    used = {"resources": held or {"cpus": 2.0, "gpus": 0.0}, "node": "n", "seconds": HOUR}
    for number, result in enumerate(results):
        own = fields[number] if number < len(fields) else {}
        candidate = Candidate(number, Architecture({"n": number}), **own)
        told.append(events.Proposed(time=next(clock), candidate=candidate))
        told.append(_ended(number, result, next(clock), used))
    return told + ([events.Finished(time=next(clock), reason="done")] if is_finished else [])


def state(results: Sequence[Result], **settings: Any) -> StudyState:
    """Return the state at the end of such a study."""
    return StudyState(history(results, **settings))


def write(folder: Path, told: Sequence[events.Event]) -> str:
    """Write a study's events into a folder and return it as typed."""
    journal = Location(folder) / "journal"
    writer = JournalWriter(journal.filesystem, journal.path)
    writer.append(*told)
    writer.close()
    return str(folder)


def studies(root: Path, rows: Sequence[Sequence[Result]], **settings: Any) -> Iterator[str]:
    """Write a study for each row, with seeds from 0, and yield their folders."""
    name = settings.pop("name", "told")
    for seed, row in enumerate(rows):
        own = f"{name}-{seed}"
        yield write(root / own, history(row, name=own, seed=seed, **settings))


def _ended(
    number: int, result: Result, time: float, used: dict[str, Any]
) -> events.Completed | events.Failed:
    if result is None:
        return events.Failed(time=time, candidate_id=number, reason="no luck", **used)
    metrics = result if isinstance(result, dict) else {"y": result}
    return events.Completed(time=time, candidate_id=number, metrics=metrics, **used)
