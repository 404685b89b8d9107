"""Why a journal on a local disk is one growing segment, and not an object for every append.

    python benchmarks/journal_schemes.py

Writes the same 5,000 events one by one in both schemes, on the same disk, and reads them back. Both
writers wait for the disk: the growing segment by fsync, the objects by fsync of each file. What an
object store itself costs depends on the store; this shows what the scheme costs.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from pyarrow import fs

from phylon.events import Event, Lost
from phylon.journal import JournalReader, JournalWriter

EVENTS = 5_000


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        growing = measure(fs.LocalFileSystem(), Path(scratch) / "growing")
        # Seen through another filesystem's name, a local disk is written as an object store is.
        store = fs.SubTreeFileSystem(scratch, fs.LocalFileSystem())
        objects = measure(store, Path("objects"), synced=Path(scratch) / "objects")
    for name, (appends, reads) in {"one segment": growing, "objects": objects}.items():
        print(f"{name}: {appends:,.0f} appends a second, {reads:,.0f} events read a second")
    print(f"ratios: {growing[0] / objects[0]:.1f} writing, {growing[1] / objects[1]:.1f} reading")


def measure(
    filesystem: fs.FileSystem, folder: Path, *, synced: Path | None = None
) -> tuple[float, float]:
    """Return how many events a second are appended one by one, and read."""
    writer = JournalWriter(filesystem, str(folder))
    events: list[Event] = [Lost(candidate_id=i, reason="x" * 200) for i in range(EVENTS)]
    begin = time.perf_counter()
    for event in events:
        writer.append(event)
        if synced:
            sync(max(synced.rglob("*.jsonl"), key=lambda path: path.name))
    appended = time.perf_counter() - begin
    writer.close()
    begin = time.perf_counter()
    assert list(JournalReader(filesystem, str(folder)).read()) == events
    return EVENTS / appended, EVENTS / (time.perf_counter() - begin)


def sync(file: Path) -> None:
    """Wait until a file is on the disk, and its name too."""
    for path in (file, file.parent):
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


if __name__ == "__main__":
    main()
