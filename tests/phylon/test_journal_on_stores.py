"""A journal of objects: nothing acknowledged is lost, whatever is joined, and whoever dies when."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import PythonFile

from phylon import sinks
from phylon.errors import JournalError
from phylon.events import Event
from phylon.journal import JournalReader, JournalWriter
from phylon.segments import EventCounter, segments
from tests.cluster.store import Gate, Store
from tests.phylon.faulty import FOLDER, Died, FaultyStore, open_writer, read, some_events


@pytest.fixture(autouse=True)
def join_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "JOIN_AFTER", 4)


@settings(max_examples=200)
@given(st.data())
def test_what_is_read_is_what_was_acknowledged(data: st.DataObject) -> None:
    """Drivers write groups and die at any operation; readers look on meanwhile."""
    store = FaultyStore()
    acknowledged: list[Event] = []
    watcher = JournalReader(store.filesystem, FOLDER)
    seen: list[Event] = []
    for _ in range(data.draw(st.integers(1, 4), "drivers")):
        store.late = data.draw(st.booleans(), "after the effect")
        store.fuse = data.draw(st.integers(0, 30), "operations")
        group: list[Event] = []
        try:
            writer = open_writer(store)
            for _ in range(data.draw(st.integers(0, 12), "appends")):
                group = some_events(len(acknowledged), data.draw(st.integers(1, 3), "events"))
                writer.append(*group)
                acknowledged += group
                group = []
                if data.draw(st.booleans(), "looks on"):
                    seen += islice(watcher.read(), data.draw(st.integers(0, 9), "so far"))
                    assert seen == acknowledged[: len(seen)]
        except Died:
            store.fuse = -1
        there = read(store)
        in_flight = there[len(acknowledged) :]
        assert there[: len(acknowledged)] == acknowledged
        assert in_flight in ([], group)
        acknowledged = there
    seen += watcher.read()
    assert seen == acknowledged


@settings(max_examples=40)
@given(st.integers(0, 40), st.booleans())
def test_a_hiccup_leaves_nothing_twice(fuse: int, late: bool) -> None:
    store = FaultyStore()
    store.fuse, store.late, store.error = fuse, late, OSError
    writer = open_writer(store)
    for number in range(20):
        writer.append(*some_events(2 * number, 2))
    assert read(store) == some_events(0, 40)


def test_many_objects_become_few() -> None:
    store = FaultyStore()
    writer = open_writer(store)
    for number in range(42):
        writer.append(*some_events(number, 1))
    names = [segment.name for segment in segments(store.filesystem, FOLDER)]
    assert len(names) == 12
    assert names[:2] == ["000000000000-000000000000.jsonl", "000000000001-000000000004.jsonl"]
    assert names[-1] == "000000000041/000000000041.jsonl"
    assert read(store) == some_events(0, 42)


def test_what_an_earlier_driver_left_is_joined() -> None:
    store = FaultyStore()
    first = open_writer(store)
    first.append(*some_events(0, 2))
    first.append(*some_events(2, 1))
    first.append(*some_events(3, 2))
    open_writer(store)
    assert [segment.name for segment in segments(store.filesystem, FOLDER)] == [
        "000000000000-000000000001.jsonl",
        "000000000002-000000000004.jsonl",
    ]


def test_large_objects_are_joined_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "JOIN_BYTES", 1000)
    store = FaultyStore()
    writer = open_writer(store)
    writer.append(*some_events(0, 1))
    writer.append(*some_events(1, 10))
    writer.append(*some_events(11, 10))
    names = [segment.name for segment in segments(store.filesystem, FOLDER)]
    assert names[1:] == ["000000000001-000000000020.jsonl"]


def test_a_reader_goes_on_where_objects_were_joined_under_it() -> None:
    store = FaultyStore()
    writer = open_writer(store)
    reader = JournalReader(store.filesystem, FOLDER)
    for number in range(3):
        writer.append(*some_events(3 * number, 3))
    reading: Iterator[Event] = reader.read()
    seen = list(islice(reading, 4))
    for number in range(3, 30):
        writer.append(*some_events(3 * number, 3))
    seen += reading
    seen += reader.read()
    assert seen == some_events(0, 90)


def test_a_reader_finds_again_what_was_joined_while_it_read_something_else() -> None:
    store = FaultyStore()
    writer = open_writer(store)
    for number in range(4 * 20 + 4):
        writer.append(*some_events(number, 1))
    reading = JournalReader(store.filesystem, FOLDER).read()
    seen = list(islice(reading, 2))
    writer.append(*some_events(84, 1))
    assert seen + list(reading) == some_events(0, 85)


class Cut(io.RawIOBase):
    """What is read of an object that is removed after it was opened, as S3 has it."""

    def readable(self) -> bool:
        return True

    def read(self, _size: int = -1) -> bytes:
        raise OSError("AWS Error INTERNAL_FAILURE during GetObject operation")


def test_an_object_that_is_joined_between_opening_and_reading_is_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = FaultyStore()
    writer = open_writer(store)
    for number in range(4):
        writer.append(*some_events(number, 1))
    open_input_file = store.open_input_file

    def join_first(path: str) -> PythonFile:
        if not path.endswith("/000000000003.jsonl"):
            return open_input_file(path)
        monkeypatch.setattr(store, "open_input_file", open_input_file)
        writer.append(*some_events(4, 1))
        return PythonFile(Cut(), mode="r")

    monkeypatch.setattr(store, "open_input_file", join_first)
    assert read(store) == some_events(0, 5)


def test_a_missing_object_is_refused() -> None:
    store = FaultyStore()
    writer = open_writer(store)
    for number in range(3):
        writer.append(*some_events(number, 1))
    del store.objects[f"{FOLDER}/000000000001/000000000001.jsonl"]
    with pytest.raises(JournalError, match="events 1 to 1 is missing before"):
        read(store)
    with pytest.raises(JournalError, match="holds 1 events, but 3 were read: somebody else writes"):
        JournalWriter(store.filesystem, FOLDER, reader=_having_read(3, store))


def _having_read(events: int, store: FaultyStore) -> JournalReader:
    reader = JournalReader(store.filesystem, FOLDER)
    reader.events = events
    return reader


@pytest.mark.parametrize("joined", [True, False])
def test_half_an_object_is_damage(*, joined: bool) -> None:
    store = FaultyStore()
    open_writer(store).append(*some_events(0, 3))
    if joined:
        open_writer(store)
    ((name, content),) = store.objects.items()
    store.objects[name] = content[:-5]
    with pytest.raises(JournalError, match="is damaged at byte"):
        read(store)
    if joined:
        store.objects[name] = content[: content.index(b"\n") + 1]
        with pytest.raises(JournalError, match="is damaged at byte"):
            read(store)


def test_a_real_store_that_is_down_for_a_while_costs_nothing(store: Store) -> None:
    with Gate(store.port) as gate:
        place = store.location("journal", port=gate.port)
        writer, counter = JournalWriter(place.filesystem, place.path), EventCounter(place)
        assert counter.count() == 0
        for number in range(30):
            if number in (5, 20):
                gate.shut_for(1.0)
            writer.append(*some_events(3 * number, 3))
        reader = JournalReader(place.filesystem, place.path)
        assert list(reader.read()) == some_events(0, 90)
        assert counter.count() == 90
        JournalWriter(place.filesystem, place.path, reader=reader).append(*some_events(90, 1))
        assert list(reader.read()) == some_events(90, 1)


def test_a_store_that_cannot_be_read_is_said(store: Store) -> None:
    with Gate(store.port) as gate:
        place = store.location("journal", port=gate.port)
        gate.shut()
        with pytest.raises(JournalError, match=r"cannot be read: .*NETWORK_CONNECTION"):
            list(JournalReader(place.filesystem, place.path).read())
