"""One driver per study where nothing can be locked: real processes at a real object store."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from phylon.cluster.location import Location
from phylon.errors import StudyError
from phylon.events import Lost
from phylon.journal import JournalReader
from phylon.lease import LEASE, StudyLease
from phylon.lock import hold, is_held
from tests.cluster.store import Gate, Store

TTL = 5.0


class Process:
    """A driver in a process of its own, see `lease_holder`."""

    def __init__(self, study: Location) -> None:
        script = Path(__file__).with_name("lease_holder.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(study), str(TTL)], stdout=subprocess.PIPE, text=True
        )
        self.said: list[str] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout
        self.said += map(str.strip, self.process.stdout)

    def ended(self) -> bool:
        return self.process.poll() is not None and not self._listener.is_alive()

    def wrote(self) -> int:
        return sum(line.startswith("wrote") for line in self.said)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._listener.join()
        assert self.process.stdout
        self.process.stdout.close()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> float:
    """Return after how many seconds something became true."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.fixture
def start(store: Store) -> Iterator[Callable[[], Process]]:
    with ExitStack() as stack:

        def start_one() -> Process:
            process = Process(store.location())
            stack.callback(process.end)
            return process

        yield start_one


def written(study: Location) -> list[int]:
    journal = study / "journal"
    events = JournalReader(journal.filesystem, journal.path).read()
    return [event.candidate_id for event in events if isinstance(event, Lost)]


def test_of_drivers_that_start_together_one_runs(start: Callable[[], Process]) -> None:
    drivers = [start() for _ in range(3)]
    wait_until(lambda: sum(driver.ended() for driver in drivers) == 2)
    (holder,) = [driver for driver in drivers if not driver.ended()]
    assert holder.said[0] == "held"
    for driver in drivers:
        if driver is not holder:
            (said,) = driver.said
            assert f"run by another driver (process {holder.process.pid} on " in said


def test_a_killed_driver_is_followed_by_the_next(
    store: Store, start: Callable[[], Process]
) -> None:
    first = start()
    wait_until(lambda: first.wrote() > 2)
    assert is_held(store.location())
    first.process.kill()
    second = start()
    took = wait_until(lambda: second.wrote() > 2)
    assert took > TTL / 2
    assert written(store.location()) == list(range(len(written(store.location()))))


def test_a_driver_that_stood_still_too_long_stops_and_writes_nothing(
    store: Store, start: Callable[[], Process]
) -> None:
    first = start()
    wait_until(lambda: first.wrote() > 2)
    first.process.send_signal(signal.SIGSTOP)
    before = first.wrote()
    second = start()
    wait_until(lambda: second.wrote() > 2)
    first.process.send_signal(signal.SIGCONT)
    wait_until(first.ended)
    assert first.wrote() - before <= 1  # what it had just written when it was stopped
    assert "another driver took study" in first.said[-1]
    assert not second.ended()
    at = second.wrote()
    wait_until(lambda: second.wrote() > at + 2)
    assert written(store.location()) == list(range(len(written(store.location()))))


def test_who_stops_in_order_makes_room_at_once(start: Callable[[], Process]) -> None:
    first = start()
    wait_until(lambda: first.wrote() > 0)
    first.process.terminate()
    wait_until(first.ended)
    assert first.said[-1] == "stopped"
    second = start()
    wait_until(lambda: second.wrote() > 0)


def test_nothing_is_left_of_a_lease(store: Store) -> None:
    study = store.location()
    assert not is_held(study)
    with hold(study):
        assert is_held(study)
        assert len((study / LEASE).names()) == 1
        with pytest.raises(StudyError, match="run by another driver"), hold(study):
            pass
    assert not is_held(study)
    assert (study / LEASE).names() == []


def test_a_short_outage_costs_no_lease(store: Store) -> None:
    with Gate(store.port) as gate, StudyLease(store.location(port=gate.port), ttl=2) as lease:
        gate.shut()
        wait_until(lambda: _fails(lease.check))
        gate.open()
        wait_until(lambda: not _fails(lease.check))
        lease.check()


def test_a_bid_of_a_dead_driver_is_in_the_way_for_a_while_only(store: Store) -> None:
    (store.location() / LEASE / "dead.bid").write(b"")
    with StudyLease(store.location(), ttl=2):
        assert len((store.location() / LEASE).names()) == 1


def _fails(action: Callable[[], None]) -> bool:
    try:
        action()
    except OSError:
        return True
    return False
