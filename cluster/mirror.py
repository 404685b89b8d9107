"""Candidates' folders as evaluators know them, on this machine, wherever the study is kept."""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pyarrow import fs

from phylon.cluster.attempts import candidate_folder
from phylon.cluster.location import CANDIDATES, Location
from phylon.cluster.patience import patiently
from phylon.search.candidate import Candidate, Measurement
from phylon.search.errors import GivenBack
from phylon.search.evaluation import WEIGHTS_FILE, Context, Evaluator

log = logging.getLogger(__name__)
_AT_ONCE = 4  # files copied at a time
_Signature = tuple[int, int, int]


class Mirror:
    """Lends candidates their folders: those of the study itself, or copies if it is in a store.

    Use it for one candidate at a time. Copies vanish with the mirror.

    Args:
        study: Where the study is kept.

    Attributes:
        folder: The study's folder, or what stands for it on this machine.
    """

    def __init__(self, study: Location) -> None:
        self._candidates = study / CANDIDATES
        self._is_copy = study.local is None
        self._known: dict[int, dict[str, _Signature]] = {}
        self.folder = study.local or Path(tempfile.mkdtemp(prefix="phylon-"))
        if self._is_copy:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def around(self, evaluator: Evaluator) -> Evaluator:
        """Return an evaluator that finds in its folders, and leaves there, what is in the store."""
        return _Mirrored(evaluator, self) if self._is_copy else evaluator

    def fetch(self, candidate: Candidate) -> Path:
        """Return a candidate's folder; beside it is that of the candidate it continues, if kept.

        Raises:
            OSError: The store cannot be read.
        """
        if self._is_copy:
            (self.folder / CANDIDATES).mkdir(parents=True, exist_ok=True)
            for number in _needed(candidate):
                self._download(number)
        return self._local(candidate.id)

    def push(self, candidate_id: int) -> None:
        """Make the store hold what is in a candidate's folder: return when it does.

        Every file is there as a whole, as it was or as it is.

        Raises:
            OSError: The store refused, or is away for too long.
        """
        if not self._is_copy:
            return
        folder, there = self._local(candidate_id), self._candidates / candidate_id
        known = self._known.get(candidate_id, {})
        found = {
            path.relative_to(folder).as_posix(): _signature(path)
            for path in folder.rglob("*")
            if path.is_file()
        }

        def upload(name: str) -> None:
            data = _mapped(folder / name)
            patiently(lambda: _at(there, name).write(data), there)

        _each(upload, (name for name, signature in found.items() if known.get(name) != signature))
        _each(
            lambda name: patiently(_at(there, name).delete, there),
            (name for name in known if name not in found),
        )
        self._known[candidate_id] = found

    def drop(self, candidate: Candidate) -> None:
        """Remove the copies that were made for a candidate."""
        if self._is_copy:
            for number in _needed(candidate):
                shutil.rmtree(self._local(number), ignore_errors=True)
                self._known.pop(number, None)
            with suppress(OSError):  # other copies are there
                (self.folder / CANDIDATES).rmdir()
                self.folder.rmdir()

    def _download(self, number: int) -> None:
        folder, there = self._local(number), self._candidates / number
        known = self._known[number] = {}

        def download(name: str) -> None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                patiently(lambda: _copy(_at(there, name), path), there)
            except FileNotFoundError:
                path.unlink(missing_ok=True)  # the driver needs it no more
            else:
                known[name] = _signature(path)

        _each(download, patiently(lambda: list(there.files()), there))

    def _local(self, candidate_id: int) -> Path:
        return candidate_folder(self.folder, candidate_id)


class _Mirrored:
    """Evaluates on copies of folders, and has the store hold what measurements speak of.

    Args:
        evaluator: What measures.
        mirror: What copies.
    """

    def __init__(self, evaluator: Evaluator, mirror: Mirror) -> None:
        self._evaluator = evaluator
        self._mirror = mirror

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of the evaluator."""
        return self._evaluator.metrics

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        """Measure a candidate."""
        uploads = _Uploads(self._mirror, candidate, context)
        try:
            folder = self._mirror.fetch(candidate)
            lent = replace(context, folder=folder, report=uploads.report)
            try:
                self._evaluator.evaluate(candidate, lent)
            except GivenBack:
                uploads.finish()
                raise
            uploads.finish()
        finally:
            self._mirror.drop(candidate)


class _Uploads:
    """Has the store hold what a candidate's measurements speak of, before anyone hears of them.

    A candidate whose files the store refuses goes on without; not so the training of shared
    weights, which would be of no use.

    Args:
        mirror: What copies.
        candidate: What is measured.
        context: Takes the measurements.
    """

    def __init__(self, mirror: Mirror, candidate: Candidate, context: Context) -> None:
        self._mirror = mirror
        self._candidate = candidate
        self._context = context
        self._is_refused = False

    def report(self, measurement: Measurement) -> None:
        """Pass on a measurement when the store has what it names, or without that."""
        if measurement.checkpoint:
            try:
                self._push()
                self._is_refused = False
            except OSError as error:
                if self._candidate.phase == "supernet":
                    raise
                measurement = self._without(measurement, error)
        self._context.report(measurement)

    def finish(self) -> None:
        """Have the store hold what else there is, unless it has just refused that."""
        if not self._is_refused:
            self._push()

    def _push(self) -> None:
        if self._context.team.rank == 0:
            self._mirror.push(self._candidate.id)

    def _without(self, measurement: Measurement, error: OSError) -> Measurement:
        if not self._is_refused:
            log.warning(
                "candidate %d goes on, but the store refuses its `%s`: %s",
                self._candidate.id, measurement.checkpoint, error,
            )  # fmt: skip
        self._is_refused = True
        if measurement.checkpoint == WEIGHTS_FILE:
            return measurement.unwritten(error)
        return replace(measurement, checkpoint=None)


def _needed(candidate: Candidate) -> tuple[int, ...]:
    """Return the candidates whose folders a candidate's evaluation may look into."""
    return (candidate.id,) if candidate.continues is None else (candidate.id, candidate.continues)


def _each(action: Callable[[str], None], names: Iterable[str]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(action, names):
            pass


def _at(folder: Location, name: str) -> Location:
    for part in name.split("/"):
        folder = folder / part
    return folder


def _signature(path: Path) -> _Signature:
    """Return what changes when a file does."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _mapped(path: Path) -> memoryview:
    """Return a file's content without reading it into memory."""
    with fs.LocalFileSystem(use_mmap=True).open_input_file(str(path)) as file:
        return memoryview(file.read_buffer())


def _copy(source: Location, path: Path) -> None:
    with source.filesystem.open_input_stream(source.path) as remote, path.open("wb") as local:
        shutil.copyfileobj(remote, local, 1 << 20)
