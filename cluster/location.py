"""Where a study is kept: a folder that every node sees, or a place in an object store."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import final
from urllib.parse import urlsplit, urlunsplit

from pyarrow import ArrowInvalid, fs

from phylon.search.errors import ConfigurationError

SCHEMES = ("file", "s3", "gs", "gcs", "abfs", "abfss", "hdfs")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@final
class Location:
    """A folder, or a name prefix in an object store; what stands in it is reached by `/`.

    Args:
        text: A path, or a URI that `pyarrow.fs.FileSystem.from_uri` understands, such as
            ``s3://bucket/studies?endpoint_override=http://host:9000``.

    Raises:
        ConfigurationError: The scheme is unknown.
    """

    def __init__(self, text: str | os.PathLike[str]) -> None:
        text = os.fspath(text)
        scheme = _SCHEME.match(text)
        if scheme and scheme[1] not in SCHEMES:
            raise ConfigurationError(
                f"`{text}` is of the unknown scheme {scheme[1]}://; allowed: a folder, "
                f"{', '.join(f'{name}://' for name in SCHEMES)}"
            )
        self.local: Path | None = None
        if not scheme or scheme[1] == "file":
            path = urlsplit(text).path if scheme else text
            self.local = Path(path).expanduser().absolute()
        self.uri = text.rstrip("/") if self.local is None else str(self.local)

    @property
    def filesystem(self) -> fs.FileSystem:
        """What reads and writes there.

        Raises:
            ConfigurationError: The URI is not of its form, or this pyarrow does not know its store.
        """
        return fs.LocalFileSystem() if self.local is not None else _open(self._root)[0]

    @property
    def path(self) -> str:
        """The location within its filesystem."""
        if self.local is not None:
            return str(self.local)
        return _open(self._root)[1].rstrip("/") + urlsplit(self.uri).path.rstrip("/")

    @property
    def _root(self) -> str:
        return urlunsplit(urlsplit(self.uri)._replace(path=""))

    @property
    def name(self) -> str:
        """The last part."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> Location:
        """What it stands in."""
        if self.local is not None:
            return Location(self.local.parent)
        parts = urlsplit(self.uri)
        return Location(urlunsplit(parts._replace(path=parts.path.rstrip("/").rpartition("/")[0])))

    def __truediv__(self, name: str | int) -> Location:
        """Return what is called `name` in it."""
        if self.local is not None:
            return Location(self.local / str(name))
        parts = urlsplit(self.uri)
        return Location(urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}")))

    def __str__(self) -> str:
        return self.uri

    def __repr__(self) -> str:
        return f"Location({self.uri!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Location) and self.uri == other.uri

    def __hash__(self) -> int:
        return hash(self.uri)

    def exists(self) -> bool:
        """Whether there is a file or a folder."""
        return self._type(self.path) != fs.FileType.NotFound

    def names(self) -> list[str]:
        """Return what stands in it, sorted; nothing if it does not exist."""
        selector = fs.FileSelector(self.path, allow_not_found=True)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector))

    def read(self) -> bytes:
        """Return a file's content.

        Raises:
            OSError: It cannot be read; `FileNotFoundError` if there is none.
        """
        with self.filesystem.open_input_file(self.path) as file:
            return bytes(file.read())

    def write(self, data: bytes) -> None:
        """Replace a file's content: others see all of it, or nothing of it.

        Raises:
            OSError: It cannot be written.
        """
        if self.local is None:
            with self.filesystem.open_output_stream(self.path) as stream:
                stream.write(data)
            return
        self.local.parent.mkdir(parents=True, exist_ok=True)
        partial = self.local.with_name(f".{self.local.name}.{os.getpid()}.partial")
        partial.write_bytes(data)
        partial.replace(self.local)

    def delete(self) -> None:
        """Remove the file or folder; nothing happens if there is none.

        Raises:
            OSError: It cannot be removed.
        """
        kind = self._type(self.path)
        if kind == fs.FileType.Directory:
            self.filesystem.delete_dir(self.path)
        elif kind == fs.FileType.File:
            self.filesystem.delete_file(self.path)

    def _type(self, path: str) -> fs.FileType:
        return self.filesystem.get_file_info(path).type



@lru_cache(maxsize=64)
def _open(root: str) -> tuple[fs.FileSystem, str]:
    """Return the filesystem of an object store, and the path of its root there."""
    try:
        filesystem, path = fs.FileSystem.from_uri(root)
    except (ArrowInvalid, OSError, NotImplementedError) as error:
        raise ConfigurationError(
            f"`{root}` cannot be opened: {error}; write it as "
            f"s3://BUCKET/FOLDER?endpoint_override=http://HOST:PORT, gs://BUCKET/FOLDER, or as "
            f"a folder"
        ) from error
    return filesystem, path
