"""What of a study is known to be in MLflow: a small log beside the study, one per tracking URI.

It is a cache. Every run carries the ids of its study and candidate as tags, so a lost record costs
one search through MLflow and no more.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from pyarrow import fs

from phylon.cluster.location import Location
from phylon.errors import StudyError
from phylon.journal import decode_line
from phylon.lock import hold
from phylon.mlflow_trouble import public
from phylon.segments import SUFFIX

STUDY = -1
"""Stands where a candidate's id would, for the study's own run."""

FOLDER = "tracking"
WRITE_EVERY_S = 5.0


class RunRecord:
    """The runs that exist, how far the journal was sent, and what else was done.

    Whoever writes holds it meanwhile, and uses it from one thread; others may read. Where nothing
    can be appended to, the whole is written anew, at most every few seconds.

    Args:
        log: The file; it need not exist.
        uri: Where MLflow is, if the log does not say so yet.

    Attributes:
        uri: Where MLflow is; empty if not known.
        experiment: Id of the experiment; empty if not known.
        runs: Run ids by candidate id; the study's own under `STUDY`.
        sent: How many events of the journal are in MLflow, counted from its beginning.
        done: Names of what is done once, such as uploads.
        is_late: Whether runs may be missing that were made long ago: an earlier driver's host died
            before it wrote the whole. Whoever has searched for them says that it is not any more.
    """

    def __init__(self, log: Location, uri: str = "") -> None:
        self.uri = uri
        self.is_late = log.local is None
        self._log = log
        self._file: BinaryIO | None = None
        self._written_at = -math.inf
        self._read()

    @classmethod
    def of(cls, study: Location, uri: str) -> RunRecord:
        """Return the record of a study's runs in the MLflow at `uri`."""
        digest = hashlib.sha256(uri.encode()).hexdigest()[:16]
        return cls(study / FOLDER / f"{digest}{SUFFIX}", uri)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other writers out, a driver or `phylon sync`, and take in what the last one wrote.

        Raises:
            StudyError: A living process writes it.
            OSError: The storage cannot be used.
        """
        place = self._log.parent / self._log.name.removesuffix(SUFFIX)
        if place.local:
            place.local.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(hold(place))
            except StudyError as error:
                raise StudyError(
                    f"another process sends this study to {public(self.uri)} already"
                ) from error
            self._read()
            try:
                yield
            finally:
                with suppress(OSError):  # it is a cache
                    self.close()

    def note_experiment(self, experiment: str) -> None:
        """Remember which experiment the study belongs to."""
        self._write({"experiment": experiment})

    def note_run(self, candidate_id: int, run_id: str) -> None:
        """Remember the run of a candidate, or of `STUDY`, even if power fails now."""
        self._write({"run": [candidate_id, run_id]}, sync=True)

    def note_sent(self, events: int) -> None:
        """Remember that the first `events` events are in MLflow."""
        self._write({"sent": events})

    def note_done(self, name: str) -> None:
        """Remember that something was done."""
        self._write({"done": name})

    def forget(self) -> None:
        """Start over: the study is not in MLflow any more."""
        self._write({"forget": True})

    def close(self) -> None:
        """Let go of the file. Closing twice does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._log.local is None and self._written_at > -math.inf:
            self._log.write(self._lines())
            self._written_at = -math.inf

    def _read(self) -> None:
        self._clear()
        for entry in _entries(self._log):
            self._apply(entry)

    def _clear(self) -> None:
        self.experiment = ""
        self.runs: dict[int, str] = {}
        self.sent = 0
        self.done: set[str] = set()

    def _apply(self, entry: dict[str, Any]) -> None:
        match entry:
            case {"run": [candidate_id, run_id]}:
                self.runs[candidate_id] = run_id
            case {"sent": events}:
                self.sent = events
            case {"done": name}:
                self.done.add(name)
            case {"experiment": experiment}:
                self.experiment = experiment
            case {"uri": uri}:
                self.uri = uri
            case {"forget": _}:
                self._clear()

    def _write(self, entry: dict[str, Any], *, sync: bool = False) -> None:
        if self._log.local is None:
            self._apply(entry)
            if time.monotonic() - self._written_at > WRITE_EVERY_S:
                self._log.write(self._lines())
                self._written_at = time.monotonic()
        else:
            self._append(entry, self._log.local, sync=sync)

    def _append(self, entry: dict[str, Any], path: Path, *, sync: bool) -> None:
        if self._file is None:
            self._file = self._rewrite(path)
        try:
            self._file.write(_line(entry))
            if sync:
                os.fsync(self._file.fileno())
        except OSError:
            self.close()  # The next write rewrites the file, without what may be half a line.
            raise
        self._apply(entry)

    def _rewrite(self, path: Path) -> BinaryIO:
        """Replace the log by a short one that says the same, and open it."""
        fresh = path.with_suffix(".new")
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as file:
            file.write(self._lines())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        return path.open("ab", buffering=0)

    def _lines(self) -> bytes:
        return b"".join(map(_line, self._summary()))

    def _summary(self) -> Iterator[dict[str, Any]]:
        yield {"uri": self.uri}
        yield {"experiment": self.experiment}
        yield from ({"run": [candidate_id, run]} for candidate_id, run in self.runs.items())
        yield from ({"done": name} for name in sorted(self.done))
        yield {"sent": self.sent}


def run_ids(study: Location) -> dict[int, str]:
    """Return the MLflow run of each candidate that has one, without asking MLflow.

    Args:
        study: Where the study lives. If it was tracked to several places, the latest counts.
    """
    return {key: run for key, run in latest_record(study).runs.items() if key != STUDY}


def latest_record(study: Location) -> RunRecord:
    """Return the record that was written last; an empty one if the study was never tracked."""
    folder = study / FOLDER
    selector = fs.FileSelector(folder.path, allow_not_found=True)
    infos = folder.filesystem.get_file_info(selector)
    records = [info for info in infos if info.base_name.endswith(SUFFIX)]
    latest = max(records, key=lambda info: info.mtime_ns, default=None)
    return RunRecord(folder / (latest.base_name if latest else f"none{SUFFIX}"))


def _line(entry: dict[str, Any]) -> bytes:
    text = json.dumps(entry, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _entries(log: Location) -> list[dict[str, Any]]:
    """Return what a log says, without a torn end; nothing at all if its middle is damaged."""
    lines = log.read().splitlines(keepends=True) if log.exists() else []
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    entries = [decode_line(line) for line in lines]
    return [] if None in entries else [entry for entry in entries if entry is not None]
