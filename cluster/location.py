"""Where a study is kept: a folder that every node sees, or a place in an object store."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pyarrow import fs

from phylon.search.errors import ConfigurationError

CANDIDATES = "candidates"
"""What holds the folders of a study's candidates, by their ids."""

SCHEMES = ("file", "s3", "gs", "gcs", "abfs", "abfss")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_S3 = {
    "allow_delayed_open": True,  # one request for a small object instead of three
    "connect_timeout": 3.0,
    "request_timeout": 6.0,
    "retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=2),  # see `patiently`
}
_SECRETS = re.compile(r"(^|&)\w*(secret|key|token|password|sig)\w*=", re.IGNORECASE)
_GCS_RETRY_S = "5"
_CURES = (
    ("NO_SUCH_BUCKET", "this bucket does not exist: make it, or name another one"),
    (
        "ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE|EXPIRED|ExpiredToken|UNRECOGNIZED_CLIENT",
        "the store does not let you in: check your credentials (for s3: AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY) and what they may do with this bucket",
    ),
    (
        "NETWORK_CONNECTION|curl|UNAVAILABLE|timed? ?out",
        "the store does not answer: check that it runs, and endpoint_override, scheme and region",
    ),
)
_ANY_CURE = "check bucket, region, endpoint_override and credentials"


@final
class Location:
    """A folder, or a name prefix in an object store; what stands in it is reached by `/`.

    Args:
        text: A path, or a URI that `pyarrow.fs.FileSystem.from_uri` understands, such as
            ``s3://bucket/studies?endpoint_override=http://host:9000``.

    Attributes:
        local: The folder; None in an object store.
        uri: The folder, or the URI with what is special in it percent-encoded.

    Raises:
        ConfigurationError: The scheme is unknown, or the URI is not of its form.
    """

    def __init__(self, text: str | os.PathLike[str]) -> None:
        text = os.fspath(text)
        scheme = _SCHEME.match(text)
        self.local: Path | None = None
        if not scheme:
            self.local = Path(text).expanduser().absolute()
        elif scheme[1] not in SCHEMES:
            raise ConfigurationError(
                f"`{text}` is of the unknown scheme {scheme[1]}://; allowed: a folder, "
                f"{', '.join(f'{name}://' for name in SCHEMES)}"
            )
        elif scheme[1] == "file":
            self.local = _folder(text)
        self.uri = str(self.local or _checked(text))

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
        return _open(self._root)[1].rstrip("/") + unquote(urlsplit(self.uri).path)

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
        return Location(urlunsplit(parts._replace(path=parts.path.rpartition("/")[0])))

    def resolved(self) -> Location:
        """Return the same place without symbolic links on the way."""
        return self if self.local is None else Location(self.local.resolve())

    def __truediv__(self, name: str | int) -> Location:
        """Return what is called `name` in it."""
        if self.local is not None:
            return Location(self.local / str(name))
        parts = urlsplit(self.uri)
        return Location(urlunsplit(parts._replace(path=f"{parts.path}/{quote(str(name))}")))

    def __str__(self) -> str:
        return self.uri

    def __repr__(self) -> str:
        return f"Location({self.uri!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Location) and self.uri == other.uri

    def __hash__(self) -> int:
        return hash(self.uri)

    def check(self) -> None:
        """See whether a file can be written there and removed again.

        Raises:
            ConfigurationError: It cannot; it says what to mend.
        """
        mark = self / f".phylon-{uuid.uuid4().hex}"
        try:
            mark.write(b"")
            mark.delete()
        except OSError as error:
            said = str(error).partition(" (Request ID")[0].splitlines()[0]
            cures = [cure for words, cure in _CURES if re.search(words, said)]
            cure = "name another folder" if self.local else [*cures, _ANY_CURE][0]
            raise ConfigurationError(
                f"storage: {self} cannot be written: {error.strerror or said}; {cure}"
            ) from error

    def exists(self) -> bool:
        """Whether there is a file or a folder."""
        return bool(self._type() != fs.FileType.NotFound)

    def names(self) -> list[str]:
        """Return what stands in it, sorted; nothing if it does not exist."""
        selector = fs.FileSelector(self.path, allow_not_found=True)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector))

    def files(self) -> Iterator[str]:
        """Yield the names of all files in it and its folders, relative to it, in no order."""
        selector = fs.FileSelector(self.path, allow_not_found=True, recursive=True)
        for info in self.filesystem.get_file_info(selector):
            if info.is_file:
                yield info.path.removeprefix(self.path).lstrip("/")

    def read(self) -> bytes:
        """Return a file's content.

        Raises:
            OSError: It cannot be read; `FileNotFoundError` if there is none.
        """
        with self.filesystem.open_input_file(self.path) as file:
            return bytes(file.read())

    def write(self, data: bytes | memoryview) -> None:
        """Replace a file's content: others see all of it, or nothing of it.

        Raises:
            OSError: It cannot be written.
        """
        if self.local is None:
            with self.filesystem.open_output_stream(self.path) as stream:
                stream.write(data)
            return
        self.local.parent.mkdir(parents=True, exist_ok=True)
        partial = self.local.with_name(f".{self.local.name}.{uuid.uuid4().hex}.partial")
        try:
            partial.write_bytes(data)
            partial.replace(self.local)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def delete(self) -> None:
        """Remove the file or folder; nothing happens if there is none.

        Raises:
            OSError: It cannot be removed.
        """
        kind = self._type()
        try:
            if kind == fs.FileType.Directory:
                self.filesystem.delete_dir(self.path)
            elif kind == fs.FileType.File:
                self.filesystem.delete_file(self.path)
        except FileNotFoundError:
            return  # somebody else was quicker

    def _type(self) -> fs.FileType:
        return self.filesystem.get_file_info(self.path).type


def _folder(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost"):
        raise ConfigurationError(
            f"`{uri}` names the host {parts.netloc}, but a file is on this one: write file:///FOLDER"
        )
    return Path(unquote(parts.path))


def _checked(text: str) -> str:
    """Return the URI of a place in a store in its one spelling."""
    parts = urlsplit(text)
    example = f"{parts.scheme}://BUCKET/FOLDER"
    if not parts.netloc:
        raise ConfigurationError(f"`{text}` names no bucket; write {example}")
    if parts.fragment:
        raise ConfigurationError(f"`{text}` holds a #, which ends a URI; write it as %23")
    if ":" in parts.netloc.rpartition("@")[0] or _SECRETS.search(parts.query):
        raise ConfigurationError(
            f"`{parts.scheme}://{parts.netloc.rpartition('@')[2]}` holds credentials, which "
            f"would be written into the study; set them in the environment instead (for s3: "
            f"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        )
    return urlunsplit(parts._replace(path=quote(unquote(parts.path.rstrip("/")))))


@lru_cache(maxsize=64)
def _open(root: str) -> tuple[fs.FileSystem, str]:
    """Return the filesystem of an object store, and the path of its root there."""
    parts = urlsplit(root)
    if parts.scheme in ("gs", "gcs") and "retry_limit_seconds" not in parts.query:
        query = f"{parts.query}&" if parts.query else ""
        root = urlunsplit(parts._replace(query=f"{query}retry_limit_seconds={_GCS_RETRY_S}"))
    try:
        filesystem, path = fs.FileSystem.from_uri(root)
    except (ValueError, OSError, NotImplementedError) as error:
        raise ConfigurationError(
            f"`{root}` cannot be opened: {error}; write it as "
            f"s3://BUCKET/FOLDER?endpoint_override=http://HOST:PORT, gs://BUCKET/FOLDER, or as "
            f"a folder"
        ) from error
    if isinstance(filesystem, fs.S3FileSystem):
        options: dict[str, Any] = filesystem.__reduce__()[1][0]
        filesystem = fs.S3FileSystem(**{**options, **_S3})
    return filesystem, path
