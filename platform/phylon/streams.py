"""Output that nobody may be reading any more: losing it must not change what is done."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO, cast


class _ForgivingStream:
    """A text stream that drops what cannot be written.

    Args:
        stream: Where to write; all else is asked of it, too.
        forgiven: The errors of writing that are passed over.
    """

    def __init__(self, stream: TextIO, forgiven: type[OSError]) -> None:
        self._stream = stream
        self._forgiven = forgiven

    def write(self, text: str) -> int:
        """Write a text if possible."""
        try:
            return self._stream.write(text)
        except self._forgiven:
            return len(text)

    def flush(self) -> None:
        """Pass on what is buffered if possible."""
        try:
            self._stream.flush()
        except self._forgiven:
            return

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the stream has it
        return getattr(self._stream, name)


def forgiving(stream: TextIO | None, forgiven: type[OSError] = OSError) -> TextIO | None:
    """Return a stream that writes to another one and drops what that cannot take.

    Args:
        stream: The other one; None, which Python has for a standard stream that is closed, stays.
        forgiven: The errors of writing that are passed over.
    """
    return stream and cast("TextIO", _ForgivingStream(stream, forgiven))


@contextmanager
def forgiving_output() -> Iterator[None]:
    """Let the standard streams drop what nobody reads, so that exit codes tell what was done.

    Standard output still raises all other errors: a full disk must not cut a table short unnoticed.
    """
    streams = ((sys.stdout, BrokenPipeError), (sys.stderr, OSError))
    try:
        with (
            redirect_stdout(forgiving(sys.stdout, BrokenPipeError)),
            redirect_stderr(forgiving(sys.stderr)),
        ):
            yield
    finally:
        for stream, forgiven in streams:
            _abandon_what_is_stuck(stream, forgiven)


def _abandon_what_is_stuck(stream: TextIO | None, forgiven: type[OSError]) -> None:
    """Send what a broken stream still buffers nowhere: Python would fail on it when it exits."""
    if stream is None:
        return
    try:
        stream.flush()
    except forgiven:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
