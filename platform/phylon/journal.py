"""The journal: an append-only list of events that survives whatever happens to its writer.

A journal is a folder of segments. Each segment is named by the index of its first event and holds
one line per event: the CRC-32 of the text, a space, and the event as JSON. On a local filesystem a
driver appends to one segment of its own and calls fsync before it goes on; on an object store,
where nothing can be appended to, every append is a new immutable object. Reading is the same.
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Iterator
from typing import Any

from pyarrow import NativeFile, fs

from phylon.errors import JournalError
from phylon.events import Event

SUFFIX = ".jsonl"
_BLOCK = 1 << 20  # bytes read at a time
_decode = json.JSONDecoder().raw_decode  # twice as fast as json.loads on short texts


def encode_line(event: Event) -> bytes:
    """Return one line of a segment."""
    text = json.dumps(event.to_json(), separators=(",", ":")).encode()
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


class JournalReader:
    """Reads a journal from its beginning, and goes on where it stopped when more was written.

    Args:
        filesystem: Where the journal is.
        folder: Its folder there.
    """

    def __init__(self, filesystem: fs.FileSystem, folder: str) -> None:
        self._filesystem = filesystem
        self._folder = folder.rstrip("/")
        self.events = 0
        self.segment = ""
        self.offset = 0
        self.tail = b""

    def read(self) -> Iterator[Event]:
        """Yield the events that were not yet read; leave a torn end in `tail`.

        Raises:
            JournalError: An event before the end is damaged, or a segment is missing.
        """
        names = self._segments()
        start = names.index(self.segment) if self.segment in names else 0
        for position in range(start, len(names)):
            if names[position] != self.segment:
                self._enter(names[position])
            yield from self._read_segment(is_last=position == len(names) - 1)

    def _segments(self) -> list[str]:
        selector = fs.FileSelector(self._folder, allow_not_found=True)
        found = self._filesystem.get_file_info(selector)
        return sorted(info.base_name for info in found if info.base_name.endswith(SUFFIX))

    def _enter(self, name: str) -> None:
        first = int(name.removesuffix(SUFFIX))
        if first != self.events:
            raise JournalError(
                f"journal {self._folder}: the segment with events {self.events} to {first - 1} is "
                f"missing before {name}; put it back from a copy, nothing was changed"
            )
        self.segment, self.offset = name, 0

    def _read_segment(self, *, is_last: bool) -> Iterator[Event]:
        self.tail = b""
        with self._filesystem.open_input_file(f"{self._folder}/{self.segment}") as file:
            file.seek(self.offset)
            lines = _lines(file)
            for line in lines:
                data = decode_line(line)
                if data is None:
                    self._end_torn([line, *lines], is_last=is_last)
                    return
                self.offset += len(line)
                self.events += 1
                yield Event.from_json(data)

    def _end_torn(self, rest: list[bytes], *, is_last: bool) -> None:
        if not is_last or any(decode_line(line) for line in rest):
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
    """

    def __init__(
        self, filesystem: fs.FileSystem, folder: str, *, reader: JournalReader | None = None
    ) -> None:
        self._filesystem = filesystem
        self._folder = folder.rstrip("/")
        self.events = reader.events if reader else 0
        self._local = isinstance(filesystem, fs.LocalFileSystem)
        self._file: int | None = None
        self._filesystem.create_dir(self._folder, recursive=True)
        if reader and reader.tail:
            self._cut_tail(reader)

    def append(self, *events: Event) -> None:
        """Write events; when this returns they are on stable storage.

        Raises:
            JournalError: The storage refused; none of the events is in the journal.
        """
        data = b"".join(encode_line(event) for event in events)
        try:
            if self._local:
                self._append_local(data)
            else:
                with self._filesystem.open_output_stream(self._next_segment()) as stream:
                    stream.write(data)
        except OSError as error:
            raise JournalError(
                f"the journal {self._folder} cannot be written: {error.strerror or error}; make "
                f"room or make it writable, then `phylon resume`: nothing before this is lost"
            ) from error
        self.events += len(events)

    def close(self) -> None:
        """Let go of the segment. Closing twice does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _next_segment(self) -> str:
        return f"{self._folder}/{self.events:012d}{SUFFIX}"

    def _append_local(self, data: bytes) -> None:
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._file = os.open(self._next_segment(), flags, 0o644)
            _sync_folder(self._folder)
        end = os.lseek(self._file, 0, os.SEEK_END)
        try:
            written = os.write(self._file, data)
            if written < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, end)
            raise

    def _cut_tail(self, reader: JournalReader) -> None:
        path = f"{self._folder}/{reader.segment}"
        with self._filesystem.open_output_stream(f"{path}.torn-at-{reader.offset}") as aside:
            aside.write(reader.tail)
        if self._local:
            os.truncate(path, reader.offset)
            _sync_folder(self._folder)
            return
        with self._filesystem.open_input_file(path) as torn:
            whole = torn.read(reader.offset)
        with self._filesystem.open_output_stream(path) as mended:
            mended.write(whole)


def _lines(file: NativeFile) -> Iterator[bytes]:
    """Yield the rest of a file line by line; a segment may be larger than memory should be."""
    part = b""
    while block := bytes(file.read(_BLOCK)):
        *whole, part = (part + block).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if part:
        yield part


def _sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
