"""A study in which every name is one that could break a page, or run in it."""

from __future__ import annotations

import itertools
from pathlib import Path

from phylon import Choice, Float, SearchSpace, events
from phylon.cluster.location import Location
from phylon.config import StudyConfig
from phylon.journal import JournalWriter
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement

HOSTILE = "</script><script>window.hacked=1</script><b onclick=x>&amp; $$e$$ @id ${x} 'q\" *md*"
"""Ends a script, opens one, an element, an entity, a formula, places of bokeh's, quotes."""
SPACE = SearchSpace(x=Float(0.0, 1.0), kind=Choice(HOSTILE, "b"))
CANDIDATES = 12


def hostile_study(folder: Path) -> Location:
    """Write the study into `folder / "hostile"` and return where it lives."""
    metrics = (HOSTILE, f"{HOSTILE}2")
    config = StudyConfig.build(
        name="hostile",
        task="images",
        objectives=[
            {"metric": metrics[0], "direction": "maximize"},
            {"metric": metrics[1], "direction": "minimize"},
        ],
        budget={"candidates": CANDIDATES},
        storage=str(folder),
    )
    location = Location(folder) / "hostile"
    journal = location / "journal"
    writer = JournalWriter(journal.filesystem, journal.path)
    clock = itertools.count(1_790_000_000.0)
    written = {**config.to_json(), "name": HOSTILE}
    writer.append(
        events.Created(
            time=next(clock), uid=HOSTILE, config=written, space=SPACE.to_json(), metrics=[*metrics]
        ),
        events.Opened(
            time=next(clock), host=HOSTILE, pid=1, versions={HOSTILE: HOSTILE}, budget={}
        ),
    )
    for number in range(CANDIDATES):
        writer.append(*_told(number, metrics, clock))
    writer.close()
    return location


def _told(
    number: int, metrics: tuple[str, ...], clock: itertools.count[float]
) -> list[events.Event]:
    net = {"x": number / CANDIDATES, "kind": HOSTILE if number % 2 else "b"}
    parents = (number - 2,) if number > 3 else ()
    candidate = Candidate(number, Architecture(net), parents, HOSTILE, generation=number // 2)
    proposed = events.Proposed(time=next(clock), candidate=candidate)
    if number % 5 == 3:
        return [
            proposed,
            events.Failed(
                time=next(clock), candidate_id=number, reason=HOSTILE, seconds=1.0, node=HOSTILE
            ),
        ]
    values = {metrics[0]: number / 10, metrics[1]: (number - 5.0) ** 2}
    steps = [Measurement(step, values, 1.0) for step in (1, 2)]
    return [
        proposed,
        *(events.Reported(time=next(clock), candidate_id=number, measurement=s) for s in steps),
        events.Completed(
            time=next(clock), candidate_id=number, metrics=values, seconds=2.0, node=HOSTILE
        ),
    ]
