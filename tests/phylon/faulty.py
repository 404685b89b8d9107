"""A store in memory that dies at a chosen operation, before or after it took effect."""

from __future__ import annotations

import io
from typing import Any

from pyarrow import PythonFile, fs

from phylon.events import Event, Lost
from phylon.journal import JournalReader, JournalWriter

FOLDER = "bucket/journal"


class Died(BaseException):
    """The process ends here."""


class FaultyStore(fs.FileSystemHandler):
    """Objects by path. Writing takes effect when a stream is closed, as a whole.

    `fuse` operations go through; the next one raises `error`, after it took effect if `late`, and
    so do all later ones if that is `Died`.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fuse = -1
        self.late = False
        self.error: type[BaseException] = Died

    @property
    def filesystem(self) -> fs.FileSystem:
        return fs.PyFileSystem(self)

    def _burn(self, *, effect: bool) -> None:
        """Count one side of an operation: the one before its effect, or the one after."""
        if effect == self.late:
            self.fuse -= 1
            if self.fuse == -1:
                raise self.error("AWS Error SLOW_DOWN")

    def put(self, path: str, data: bytes) -> None:
        self._burn(effect=False)
        self.objects[path] = data
        self._burn(effect=True)

    def get_type_name(self) -> str:
        return "faulty"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        return [self._info(path) for path in paths]

    def _info(self, path: str) -> fs.FileInfo:
        if path in self.objects:
            return fs.FileInfo(path, fs.FileType.File, size=len(self.objects[path]))
        is_folder = any(name.startswith(f"{path}/") for name in self.objects)
        return fs.FileInfo(path, fs.FileType.Directory if is_folder else fs.FileType.NotFound)

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        assert selector.recursive
        found = [path for path in sorted(self.objects) if path.startswith(f"{selector.base_dir}/")]
        return [self._info(path) for path in found]

    def create_dir(self, path: str, recursive: bool) -> None:
        """There are no folders."""

    def delete_dir(self, path: str) -> None:
        for name in sorted(self.objects):
            if name.startswith(f"{path}/"):
                self.delete_file(name)

    def delete_file(self, path: str) -> None:
        self._burn(effect=False)
        del self.objects[path]
        self._burn(effect=True)

    def open_input_file(self, path: str) -> Any:
        if path not in self.objects:
            raise FileNotFoundError(path)
        return PythonFile(io.BytesIO(self.objects[path]), mode="r")

    def open_output_stream(self, path: str, metadata: object) -> Any:  # noqa: ARG002
        return PythonFile(_Upload(self, path), mode="w")

    def _unused(self, *_: object) -> Any:
        raise NotImplementedError

    delete_dir_contents = delete_root_dir_contents = move = copy_file = _unused
    open_input_stream = open_append_stream = _unused


class _Upload(io.BytesIO):
    def __init__(self, store: FaultyStore, path: str) -> None:
        super().__init__()
        self._store, self._path = store, path

    def close(self) -> None:
        if not self.closed:
            data = self.getvalue()
            super().close()
            self._store.put(self._path, data)


def some_events(first: int, count: int) -> list[Event]:
    return [Lost(time=0.0, candidate_id=i, reason="x") for i in range(first, first + count)]


def read(store: FaultyStore) -> list[Event]:
    return list(JournalReader(store.filesystem, FOLDER).read())


def open_writer(store: FaultyStore) -> JournalWriter:
    reader = JournalReader(store.filesystem, FOLDER)
    assert len(list(reader.read())) == reader.events
    return JournalWriter(store.filesystem, FOLDER, reader=reader)
