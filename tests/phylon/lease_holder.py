"""A driver that does nothing but hold a study and write: `python lease_holder.py URI TTL`.

It says `held`, then `wrote N` for each event it appended, or how it ended.
"""

from __future__ import annotations

import signal
import sys
import time

from phylon.cluster.location import Location
from phylon.errors import StudyError
from phylon.events import Lost
from phylon.journal import JournalReader, JournalWriter
from phylon.lease import StudyLease


def main(uri: str, ttl: str) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    study = Location(uri)
    try:
        with StudyLease(study, ttl=float(ttl)) as lease:
            say("held")
            write(study / "journal", lease)
    except StudyError as error:
        say(f"refused: {error}")
    except KeyboardInterrupt:
        say("stopped")


def write(journal: Location, lease: StudyLease) -> None:
    reader = JournalReader(journal.filesystem, journal.path)
    list(reader.read())
    writer = JournalWriter(journal.filesystem, journal.path, reader=reader, check=lease.check)
    while True:
        writer.append(Lost(candidate_id=writer.events, reason="x"))
        say(f"wrote {writer.events}")
        time.sleep(0.5)


def say(words: str) -> None:
    print(words, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
