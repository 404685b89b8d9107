"""A journal of objects that two drivers write to: what the later one wrote is what counts."""

from __future__ import annotations

from contextlib import suppress

import pytest

from phylon import sinks
from phylon.errors import StudyError
from phylon.journal import JournalWriter
from phylon.segments import segments
from tests.phylon.faulty import FOLDER, FaultyStore, open_writer, read, some_events


@pytest.fixture(autouse=True)
def join_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "JOIN_AFTER", 4)


def test_a_write_that_comes_after_the_study_was_lost_is_passed_over() -> None:
    store = FaultyStore()
    stalled = open_writer(store)
    stalled.append(*some_events(0, 3))
    later = open_writer(store)
    later.append(*some_events(3, 2))
    later.append(*some_events(5, 1))
    stalled.append(*some_events(99, 9))
    assert read(store) == some_events(0, 6)
    open_writer(store)
    assert read(store) == some_events(0, 6)


@pytest.mark.parametrize("had_written", [0, 1, 2])
def test_a_driver_that_stood_still_while_it_wrote_overwrites_nothing(had_written: int) -> None:
    """It looked at its lease, and was stopped; its write arrives when another has the study."""
    store = FaultyStore()
    looks = iter(range(9))

    def check() -> None:
        if next(looks, None) is None:
            raise StudyError("another driver took it over")

    stalled = JournalWriter(store.filesystem, FOLDER, check=check)
    for number in range(had_written):
        stalled.append(*some_events(number, 1))
    later = open_writer(store)
    later.append(*some_events(had_written, 2))
    looks = iter(range(1))
    with suppress(StudyError):
        stalled.append(*some_events(99, 3))
    assert read(store) == some_events(0, had_written + 2)
    later.append(*some_events(had_written + 2, 1))
    assert read(store) == some_events(0, had_written + 3)
    open_writer(store)
    assert read(store) == some_events(0, had_written + 3)


def test_nothing_is_written_once_the_study_is_lost() -> None:
    store = FaultyStore()
    lost: list[str] = []

    def check() -> None:
        if lost:
            raise StudyError("another driver took it over")

    writer = JournalWriter(store.filesystem, FOLDER, check=check)
    writer.append(*some_events(0, 1))
    before = dict(store.objects)
    lost.append("now")
    with pytest.raises(StudyError, match="took it over"):
        writer.append(*some_events(1, 1))
    assert store.objects == before


def test_a_lease_that_cannot_be_seen_while_objects_are_joined_fails_nothing() -> None:
    """What was written counts as written: the ledger must not write it once more."""
    store = FaultyStore()
    checks: list[None] = []

    def check() -> None:
        checks.append(None)
        if len(checks) == 8:  # before the fifth object is joined with others
            raise OSError("AWS Error NETWORK_CONNECTION")

    writer = JournalWriter(store.filesystem, FOLDER, check=check)
    for number in range(6):
        writer.append(*some_events(number, 1))
    assert writer.events == 6
    assert read(store) == some_events(0, 6)
    assert len(segments(store.filesystem, FOLDER)) == 2
