"""The journal keeps every acknowledged event, says what a torn end cost, and refuses damage."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import fs

from phylon.errors import JournalError
from phylon.events import Event, Failed, Finished, Lost
from phylon.journal import JournalReader, JournalWriter

LOCAL = fs.LocalFileSystem()


def some_events(count: int) -> list[Event]:
    return [Lost(time=float(i), candidate_id=i, reason=f"reason {i}") for i in range(count)]


def write(folder: Path, events: list[Event], *, filesystem: fs.FileSystem = LOCAL) -> None:
    reader = JournalReader(filesystem, str(folder))
    list(reader.read())
    writer = JournalWriter(filesystem, str(folder), reader=reader)
    writer.append(*events)
    writer.close()


def read(folder: Path, *, filesystem: fs.FileSystem = LOCAL) -> list[Event]:
    return list(JournalReader(filesystem, str(folder)).read())


def only_segment(folder: Path) -> Path:
    (segment,) = folder.glob("*.jsonl")
    return segment


@pytest.fixture(params=["local", "object store"])
def filesystem(request: pytest.FixtureRequest) -> fs.FileSystem:
    if request.param == "local":
        return LOCAL
    return fs.PyFileSystem(fs.FSSpecHandler(MemoryFileSystem()))


def test_writers_one_after_another_are_read_as_one_journal(
    filesystem: fs.FileSystem, tmp_path: Path
) -> None:
    events = some_events(9)
    for part in (events[:4], events[4:5], events[5:]):
        write(tmp_path, part, filesystem=filesystem)
    assert read(tmp_path, filesystem=filesystem) == events


def test_a_reader_goes_on_where_it_stopped(filesystem: fs.FileSystem, tmp_path: Path) -> None:
    events = some_events(6)
    reader = JournalReader(filesystem, str(tmp_path))
    assert list(reader.read()) == []
    seen: list[Event] = []
    for part in (events[:1], events[1:4], events[4:]):
        write(tmp_path, part, filesystem=filesystem)
        fresh = list(reader.read())
        assert fresh == part
        seen += fresh
    assert seen == events
    assert reader.events == len(events)


@given(st.integers(1, 5), st.data())
def test_a_torn_end_loses_only_what_was_not_acknowledged(count: int, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        events = some_events(count)
        write(folder, events)
        segment = only_segment(folder)
        whole = segment.read_bytes()
        last = len(whole.splitlines(keepends=True)[-1])
        cut = data.draw(st.integers(1, last - 1))
        segment.write_bytes(whole[:-cut])

        reader = JournalReader(LOCAL, scratch)
        assert list(reader.read()) == events[:-1]
        assert len(reader.tail) == last - cut

        write(folder, [Finished(time=0.0, reason="after the accident")])
        assert read(folder) == [*events[:-1], Finished(time=0.0, reason="after the accident")]
        (kept,) = folder.glob("*.torn-at-*")
        assert kept.read_bytes() == whole[-last:-cut]


@given(st.data())
def test_a_damaged_middle_is_refused_with_its_place_and_left_alone(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(folder, some_events(5))
        segment = only_segment(folder)
        content = bytearray(segment.read_bytes())
        lines = bytes(content).splitlines(keepends=True)
        victim = data.draw(st.integers(0, 3))
        start = sum(map(len, lines[:victim]))
        position = start + data.draw(st.integers(0, len(lines[victim]) - 2))
        content[position] ^= 0x55
        segment.write_bytes(content)

        with pytest.raises(JournalError, match=f"damaged at byte {start} .event {victim}."):
            read(folder)
        assert segment.read_bytes() == content


def test_a_writer_that_died_before_its_first_byte_is_in_nobodys_way(tmp_path: Path) -> None:
    events = some_events(3)
    write(tmp_path, events[:2])
    (tmp_path / "000000000002.jsonl").touch()
    write(tmp_path, events[2:])
    assert read(tmp_path) == events


def test_a_missing_segment_is_refused(tmp_path: Path) -> None:
    events = some_events(4)
    write(tmp_path, events[:2])
    only_segment(tmp_path).rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").rename(tmp_path / "000000000002.jsonl")
    with pytest.raises(JournalError, match="events 0 to 1 is missing"):
        read(tmp_path)


def test_an_event_of_a_later_version_is_refused_by_name(tmp_path: Path) -> None:
    text = b'{"event":"Teleported","time":0.0}'
    (tmp_path / "000000000000.jsonl").write_bytes(b"%08x %s\n" % (zlib.crc32(text), text))
    with pytest.raises(JournalError, match="`Teleported` is unknown"):
        read(tmp_path)


def test_a_full_storage_is_said_and_leaves_the_journal_whole(tmp_path: Path) -> None:
    script = """
import resource, sys
from phylon.events import Lost
from phylon.errors import JournalError
from phylon.journal import JournalWriter
from pyarrow import fs
writer = JournalWriter(fs.LocalFileSystem(), sys.argv[1])
writer.append(Lost(candidate_id=0, reason="fits"))
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
try:
    writer.append(Lost(candidate_id=1, reason="too long " * 100))
except JournalError as error:
    print(error)
writer.append(Lost(candidate_id=2, reason="fits"))
"""
    arguments = [sys.executable, "-c", script, str(tmp_path)]
    said = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    assert "cannot be written: No space left on device" in said
    assert "phylon resume" in said
    assert [event.candidate_id for event in read(tmp_path) if isinstance(event, Lost)] == [0, 2]


def test_an_append_that_returned_survives_kill_9(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from phylon.events import Failed
from phylon.journal import JournalWriter
from pyarrow import fs
writer = JournalWriter(fs.LocalFileSystem(), sys.argv[1])
for i in range(20):
    writer.append(Failed(time=0.0, candidate_id=i, reason="x"))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert read(tmp_path) == [Failed(time=0.0, candidate_id=i, reason="x") for i in range(20)]
