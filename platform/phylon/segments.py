"""The files or objects that a journal consists of: how they are named, listed and fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import final

from pyarrow import fs

from phylon.cluster.location import Location

SUFFIX = ".jsonl"
_AT_ONCE = 8  # objects fetched at a time
BLOCK = 1 << 20  # bytes read at a time


@dataclass(frozen=True, slots=True)
class Segment:
    """Some events of a journal.

    Attributes:
        name: Its path in the journal's folder.
        first: Index of its first event.
        last: Index of its last event if the name tells it: of one that many were joined into.
        stretch: Of an object that is still to be joined: index of the first event to be joined.
        size: Bytes.
    """

    name: str
    first: int
    last: int | None = None
    stretch: int | None = None
    size: int = 0

    @property
    def rank(self) -> tuple[int, bool, int]:
        """Its place in the order of reading: what was joined first, then the latest driver's."""
        return self.first, self.last is None, -(self.stretch or 0)


def growing(first: int) -> str:
    """Return the name of a segment that events are appended to."""
    return f"{first:012d}{SUFFIX}"


def single(stretch: int, first: int) -> str:
    """Return the name of an object with one group of events, to be joined with its stretch."""
    return f"{stretch:012d}/{first:012d}{SUFFIX}"


def joined(first: int, last: int) -> str:
    """Return the name of the object that a stretch was joined into."""
    return f"{first:012d}-{last:012d}{SUFFIX}"


def segments(filesystem: fs.FileSystem, folder: str) -> list[Segment]:
    """Return all segments of a journal, in the order of reading.

    Raises:
        OSError: The storage cannot be read.
    """
    selector = fs.FileSelector(folder, allow_not_found=True, recursive=True)
    found = filesystem.get_file_info(selector)
    names = {
        info.path.removeprefix(folder).lstrip("/"): info.size or 0
        for info in found
        if info.is_file and info.base_name.endswith(SUFFIX)
    }
    return sorted((_parse(name, size) for name, size in names.items()), key=lambda it: it.rank)


def _parse(name: str, size: int) -> Segment:
    stretch, _, base = name.rpartition("/")
    first, _, last = base.removesuffix(SUFFIX).partition("-")
    return Segment(
        name,
        int(first),
        int(last) if last else None,
        int(stretch) if stretch else None,
        size,
    )


def fetch(
    filesystem: fs.FileSystem, folder: str, wanted: Sequence[Segment]
) -> Iterator[tuple[Segment, bytes]]:
    """Yield objects with their content, a few fetched at a time.

    Raises:
        OSError: One cannot be read; `FileNotFoundError` if it was joined meanwhile.
    """

    def content(segment: Segment) -> bytes:
        path = f"{folder}/{segment.name}"
        try:
            with filesystem.open_input_file(path) as file:
                return bytes(file.read())
        except OSError as error:
            # A store says "internal failure" of an object that is removed after it was opened.
            if filesystem.get_file_info(path).is_file:
                raise
            raise FileNotFoundError(f"{path} is gone") from error

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for begin in range(0, len(wanted), _AT_ONCE):
            batch = wanted[begin : begin + _AT_ONCE]
            yield from zip(batch, pool.map(content, batch), strict=True)


@final
class EventCounter:
    """Counts a journal's events by its last segment, of which it reads only what is new.

    Args:
        journal: Its folder.
    """

    def __init__(self, journal: Location) -> None:
        self._journal = journal
        self._name = ""
        self._lines = self._end = 0  # whole lines, and where they end

    def count(self) -> int:
        """Return how many events there are.

        Raises:
            OSError: The storage cannot be read.
        """
        found = segments(self._journal.filesystem, self._journal.path)
        if not found:
            return 0
        reached = max((s.last + 1 for s in found if s.last is not None), default=0)
        last = found[-1]
        return reached if last.first < reached else last.first + self._lines_in(last.name)

    def _lines_in(self, name: str) -> int:
        if name != self._name:
            self._name, self._lines, self._end = name, 0, 0
        read = self._end
        path = f"{self._journal.path}/{name}"
        with self._journal.filesystem.open_input_file(path) as file:
            file.seek(read)
            while block := bytes(file.read(BLOCK)):
                self._lines += block.count(b"\n")
                if (last := block.rfind(b"\n")) >= 0:
                    self._end = read + last + 1
                read += len(block)
        return self._lines
