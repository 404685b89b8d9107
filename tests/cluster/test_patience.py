"""A storage that is away for a while is waited for; one that refuses is not."""

from __future__ import annotations

import errno
import logging
import time

import pytest

from phylon.cluster import patience
from phylon.cluster.location import Location
from phylon.cluster.patience import is_passing, patiently
from tests.cluster.store import Gate, Store, answering, free_port


def error_of(place: Location) -> OSError:
    with pytest.raises(OSError) as raised:  # noqa: PT011 - what it says is judged by `is_passing`
        place.write(b"")
    return raised.value


@pytest.mark.parametrize(
    ("status", "passing"),
    [(500, True), (502, True), (503, True), (429, True), (403, False), (401, False), (404, False)],
)
def test_what_a_store_answers_is_understood(store: Store, status: int, *, passing: bool) -> None:
    with answering(status) as port:
        assert is_passing(error_of(store.location(port=port))) == passing


def test_a_store_that_is_not_there_may_come_back(store: Store) -> None:
    assert is_passing(error_of(store.location(port=free_port())))


@pytest.mark.parametrize(
    ("number", "passing"),
    [
        (errno.EIO, True),
        (errno.ESTALE, True),
        (errno.ETIMEDOUT, True),
        (errno.EAGAIN, True),
        (errno.ENOSPC, False),
        (errno.EACCES, False),
        (errno.ENOENT, False),
        (errno.EROFS, False),
    ],
)
def test_errors_of_mounts_are_told_apart(number: int, *, passing: bool) -> None:
    assert is_passing(OSError(number, "as the kernel says it")) == passing


def test_a_store_that_is_away_is_waited_for_and_said_once(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_SILENT_S", 0.5)
    began = time.monotonic()
    gate = Gate(store.port)
    place = store.location("file", port=gate.port)

    def write() -> None:
        if time.monotonic() - began > 4 and not gate.is_open:
            gate.open()
        place.write(b"at last")

    with caplog.at_level(logging.WARNING):
        patiently(write, "the store")
    gate.shut()
    assert store.location("file").read() == b"at last"
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, said
    assert said[0].startswith("the store does not answer (")
    assert said[0].endswith("trying again for up to 5 minutes")
    assert said[1].startswith("the store is back after ")


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 1.0)
    began = time.monotonic()
    with pytest.raises(OSError, match="as ever"):
        patiently(_fail, "the disk")
    assert 1 < time.monotonic() - began < 20


def test_a_request_to_stop_is_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "STOPPED_S", 0.5)
    began = time.monotonic()
    with pytest.raises(OSError, match="as ever"):
        patiently(_fail, "the disk", should_stop=lambda: time.monotonic() - began > 1)
    assert time.monotonic() - began < 20


def test_what_is_refused_for_good_is_not_tried_again() -> None:
    tries = []

    def fill() -> None:
        tries.append(1)
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        patiently(fill, "the disk")
    assert len(tries) == 1


def _fail() -> None:
    raise OSError(errno.EIO, "as ever")
