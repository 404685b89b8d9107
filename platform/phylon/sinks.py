"""Where a journal's writer puts its bytes: a file that grows, or objects that are joined later."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress

from pyarrow import fs

from phylon.errors import JournalError
from phylon.segments import fetch, growing, joined, segments, single

JOIN_AFTER = 256
"""Objects after which they are joined into one."""
JOIN_BYTES = 4 << 20
"""Bytes after which they are joined, if that comes first."""

Torn = tuple[str, int, bytes]
"""A segment that ends in the middle of an event: its name, the bytes before that, and the rest."""
log = logging.getLogger(__name__)


class GrowingSegment:
    """A driver's own segment in a local folder: an append is one write and one fsync.

    Args:
        _filesystem: The local one.
        folder: The journal's folder.
    """

    is_scattered = False

    def __init__(self, _filesystem: fs.FileSystem, folder: str) -> None:
        self._folder = folder
        self._path = ""
        self._file: int | None = None
        self._size = 0
        self._is_whole = True

    def open(self, events: int, torn: Torn | None) -> None:
        """Get ready to append after so many events; cut off and keep aside what is torn."""
        os.makedirs(self._folder, exist_ok=True)  # noqa: PTH103 - as pyarrow names folders
        self._path = f"{self._folder}/{growing(events)}"
        if torn:
            self._cut(*torn)

    def append(self, _first: int, data: bytes) -> None:
        """Write lines, all or none."""
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            if self._is_whole:
                self._size = os.lseek(self._file, 0, os.SEEK_END)
            _sync_folder(self._folder)
        try:
            if not self._is_whole:
                os.ftruncate(self._file, self._size)
            self._is_whole = False
            if os.write(self._file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError:
            self._undo()
            raise
        self._is_whole = True
        self._size += len(data)

    def join(self, _events: int) -> None:
        """Do nothing: it is one file."""

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _undo(self) -> None:
        """Cut off what was not acknowledged, now or before the next append, with a fresh handle."""
        with suppress(OSError):
            if self._file is not None:
                os.ftruncate(self._file, self._size)
                self._is_whole = True
        with suppress(OSError):
            self.close()
        self._file = None

    def _cut(self, segment: str, offset: int, tail: bytes) -> None:
        path = f"{self._folder}/{segment}"
        with open(f"{path}.torn-at-{offset}", "wb") as aside:  # noqa: PTH123
            aside.write(tail)
        os.truncate(path, offset)
        _sync_folder(self._folder)


class Objects:
    """A driver's objects in a store: one for each append, and in time one for a stretch of them.

    A stretch is joined before its objects are removed, and readers leave out what they find twice.
    What an earlier driver left is joined at the start. Should that driver only have stood still,
    its last write lands in a stretch that is read no more.

    Args:
        filesystem: The store.
        folder: The journal's folder.
    """

    def __init__(self, filesystem: fs.FileSystem, folder: str) -> None:
        self._filesystem = filesystem
        self._folder = folder
        self._stretch = 0
        self._parts: list[bytes] = []
        self._due, self._due_bytes = 0, 0  # since it was last tried to join

    @property
    def is_scattered(self) -> bool:
        """Whether it is time to join objects."""
        return self._due >= JOIN_AFTER or self._due_bytes >= JOIN_BYTES

    def open(self, events: int, torn: Torn | None) -> None:
        """Get ready to append after so many events; join the objects of earlier drivers."""
        assert torn is None, "an object is there as a whole, or not at all"
        found = segments(self._filesystem, self._folder)
        at = max((each.last + 1 for each in found if each.last is not None), default=0)
        self._stretch, parts = at, []
        loose = [each for each in found if each.stretch is not None]
        for segment, content in fetch(self._filesystem, self._folder, loose):
            if segment.first == at:
                parts.append(content)
                at += content.count(b"\n")
        if at != events:
            raise JournalError(
                f"the journal {self._folder} holds {at} events, but {events} were read: somebody "
                f"else writes to it; nothing was changed. Let that one end, then `phylon resume`"
            )
        if parts:
            self._put(joined(self._stretch, at - 1), b"".join(parts))
        for stretch in {each.stretch for each in loose}:
            self._filesystem.delete_dir(f"{self._folder}/{stretch:012d}")
        self._begin(at)
        self._due = JOIN_AFTER - 1  # the first object: one of a stalled driver may have its name

    def append(self, first: int, data: bytes) -> None:
        """Write lines, all or none."""
        name = single(self._stretch, first)
        if not self._parts:
            self._filesystem.create_dir(f"{self._folder}/{name.partition('/')[0]}", recursive=True)
        self._put(name, data)
        self._parts.append(data)
        self._due += 1
        self._due_bytes += len(data)

    def join(self, events: int) -> None:
        """Join the objects up to this many events; what fails is tried again later."""
        self._due, self._due_bytes = 0, 0
        folder = f"{self._folder}/{self._stretch:012d}"
        try:
            self._put(joined(self._stretch, events - 1), b"".join(self._parts))
        except OSError as error:
            log.info("objects in %s are not joined yet: %s", folder, error)
            return
        self._begin(events)
        with suppress(OSError):
            self._filesystem.delete_dir(folder)

    def close(self) -> None:
        """Do nothing: every object is complete."""

    def _begin(self, first: int) -> None:
        self._stretch, self._parts = first, []
        self._due, self._due_bytes = 0, 0

    def _put(self, name: str, data: bytes) -> None:
        with self._filesystem.open_output_stream(f"{self._folder}/{name}") as stream:
            stream.write(data)


def _sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
