"""The journal: an append-only list of events that survives whatever happens to its writer.

A journal is a folder of segments. Each segment is named by the index of its first event and holds
one line per event: the CRC-32 of the text, a space, and the event as JSON. On a local filesystem a
driver appends to one segment of its own and calls fsync before it goes on. On an object store,
where nothing can be appended to, every append is a new immutable object; when there are many of
them they are joined into one, whose name tells its first event and its last. Reading goes by the
index of events, so it does not matter what was joined meanwhile.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol

from pyarrow import fs

from phylon.cluster.patience import patiently
from phylon.errors import JournalError
from phylon.events import Event
from phylon.segments import BLOCK, Segment, fetch, segments
from phylon.signals import stop_requested
from phylon.sinks import GrowingSegment, Objects

_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode  # twice as fast as json.loads on short texts


def encode_line(event: Event) -> bytes:
    """Return one line of a segment."""
    text = _encode(event.to_json()).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def decode_line(line: bytes) -> dict[str, Any] | None:
    """Undo `encode_line` as far as JSON; None if the line is not whole."""
    if len(line) < 11 or not line.endswith(b"\n"):
        return None
    text = line[9:-1]
    if line[:9] != b"%08x " % zlib.crc32(text):
        return None
    data: dict[str, Any] = _decode(text.decode())[0]
    return data


def _nothing() -> None:
    """Let everybody write."""


class _File(AbstractContextManager["_File"], Protocol):
    def read(self, size: int, /) -> Any: ...  # noqa: ANN401 - bytes, or what pyarrow has for them
    def seek(self, position: int, /) -> int: ...


class JournalReader:
    """Reads a journal from its beginning, and goes on where it stopped when more was written.

    Args:
        filesystem: Where the journal is.
        folder: Its folder there.

    Attributes:
        events: How many events were read.
        segment: Name of the segment that the last one was in.
        offset: Where in it the next one begins, in bytes.
        tail: What was there of an event that is torn.
    """

    def __init__(self, filesystem: fs.FileSystem, folder: str) -> None:
        self._filesystem = filesystem
        self._folder = folder.rstrip("/")
        self._is_local = isinstance(filesystem, fs.LocalFileSystem)
        self.events = 0
        self.segment = ""
        self.offset = 0
        self.tail = b""

    def read(self) -> Iterator[Event]:
        """Yield the events that were not yet read; leave a torn end in `tail`.

        Raises:
            JournalError: An event before the end is damaged, a segment is missing, or the storage
                cannot be read.
        """
        stuck_at = -1
        while True:
            try:
                return (yield from self._read_on())
            except FileNotFoundError as error:
                # Others may join objects while this looks at them; once more, then it is true.
                if stuck_at == self.events:
                    raise JournalError(
                        f"journal {self._folder}: {error}; put it back from a copy, nothing was "
                        f"changed"
                    ) from error
                stuck_at = self.events
            except OSError as error:
                raise JournalError(
                    f"the journal {self._folder} cannot be read: {error.strerror or error}; "
                    f"nothing was changed"
                ) from error

    def _read_on(self) -> Iterator[Event]:
        unread = self._unread()
        for segment, file in self._opened(unread):
            if segment.last is None and segment.first < self.events:
                if segment.name != self.segment:
                    continue
            elif segment.first > self.events:
                raise FileNotFoundError(
                    f"the segment with events {self.events} to {segment.first - 1} is missing "
                    f"before {segment.name}"
                )
            yield from self._read_segment(segment, file, is_last=segment is unread[-1])

    def _unread(self) -> list[Segment]:
        """Return the segments that may hold events which were not read."""
        unread = []
        reached = self.events
        for segment in segments(self._filesystem, self._folder):
            if segment.last is not None:
                is_read = segment.last < reached
                reached = max(reached, segment.last + 1)
            elif segment.name == self.segment:
                is_read = segment.size <= self.offset
            else:
                is_read = segment.first < reached
            if not is_read:
                unread.append(segment)
        return unread

    def _opened(self, unread: list[Segment]) -> Iterator[tuple[Segment, _File]]:
        if self._is_local:
            for segment in unread:
                yield segment, self._filesystem.open_input_file(f"{self._folder}/{segment.name}")
        else:
            for segment, content in fetch(self._filesystem, self._folder, unread):
                yield segment, io.BytesIO(content)

    def _read_segment(self, segment: Segment, file: _File, *, is_last: bool) -> Iterator[Event]:
        self.tail = b""
        known = 0
        if segment.name != self.segment:
            known = self.events - segment.first
            self.segment, self.offset = segment.name, 0
        with file:
            file.seek(self.offset)
            lines = _lines(file)
            for line in lines:
                data = decode_line(line)
                if data is None:
                    self._end_torn([line, *lines], may_be_torn=is_last and self._is_local)
                    return
                self.offset += len(line)
                if known:
                    known -= 1
                    continue
                self.events += 1
                yield Event.from_json(data)
        if segment.last is not None and self.events != segment.last + 1:
            self._end_torn([], may_be_torn=False)

    def _end_torn(self, rest: list[bytes], *, may_be_torn: bool) -> None:
        if not may_be_torn or any(decode_line(line) for line in rest):
            raise JournalError(
                f"journal {self._folder}/{self.segment} is damaged at byte {self.offset} "
                f"(event {self.events}) with whole events behind it; nothing was changed. "
                f"Restore this file from a copy"
            )
        self.tail = b"".join(rest)


class JournalWriter:
    """Appends to a journal; there is at most one at a time (see `phylon.lock`).

    Args:
        filesystem: Where the journal is.
        folder: Its folder there; made if it is missing.
        reader: A reader that has read the journal to its end, if there is one; a torn tail that it
            found is cut off and kept beside the segment.
        check: Called before each write; raises if the study is no longer ours to write.

    Raises:
        JournalError: The storage refused.
    """

    def __init__(
        self,
        filesystem: fs.FileSystem,
        folder: str,
        *,
        reader: JournalReader | None = None,
        check: Callable[[], None] = _nothing,
    ) -> None:
        self._folder = folder.rstrip("/")
        self._check = check
        self.events = reader.events if reader else 0
        is_local = isinstance(filesystem, fs.LocalFileSystem)
        self._sink: GrowingSegment | Objects = (GrowingSegment if is_local else Objects)(
            filesystem, self._folder
        )
        torn = (reader.segment, reader.offset, reader.tail) if reader and reader.tail else None
        self._write(lambda: self._sink.open(self.events, torn))

    def append(self, *events: Event) -> None:
        """Write events; when this returns they are on stable storage.

        Raises:
            JournalError: The storage refused, or is away for too long; none of the events counts.
            StudyError: Another driver took the study over; nothing was written.
        """
        data = b"".join(map(encode_line, events))
        self._write(lambda: self._sink.append(self.events, data))
        self.events += len(events)
        if self._sink.is_scattered:
            with suppress(OSError):  # these events are there; the next ones wait for the storage
                self._check()
                self._sink.join(self.events)

    def close(self) -> None:
        """Let go of the segment. Closing twice does nothing."""
        self._sink.close()

    def _write(self, action: Callable[[], None]) -> None:
        def attempt() -> None:
            self._check()
            action()

        try:
            patiently(attempt, f"the journal {self._folder}", should_stop=stop_requested)
        except OSError as error:
            raise JournalError(
                f"the journal {self._folder} cannot be written: {error.strerror or error}; make "
                f"room or make it writable, then `phylon resume`: nothing before this is lost"
            ) from error


def _lines(file: _File) -> Iterator[bytes]:
    """Yield the rest of a file line by line; a segment may be larger than memory should be."""
    part = b""
    while block := bytes(file.read(BLOCK)):
        *whole, part = (part + block).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if part:
        yield part
