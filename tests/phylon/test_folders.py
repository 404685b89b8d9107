"""Folders that nobody needs any more are removed, but nobody waits long for that."""

from __future__ import annotations

import socket
import time

import pytest

from phylon import events
from phylon.folders import CandidateFolders
from phylon.keeping import Keeping
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate
from phylon.state import StudyState
from tests.cluster.store import Gate, Store
from tests.phylon.slots import CREATED


def fill_and_fail(folders: CandidateFolders, keeping: Keeping) -> None:
    state = StudyState([CREATED])
    with folders:
        for number in range(20):
            proposed = events.Proposed(candidate=Candidate(number, Architecture({"x": 0.5})))
            ended = events.Completed(candidate_id=number, metrics={"y": 1.0}, seconds=0.0)
            for event in (proposed, ended):
                state.apply(event)
                keeping.after(event, state)
                folders(event)
        raise RuntimeError("the journal cannot be written")


def test_who_stops_since_the_storage_is_away_does_not_wait_for_each_folder(store: Store) -> None:
    """A store that takes connections and stays silent costs many seconds for each folder."""
    keeping = Keeping(keep=1)
    with Gate(store.port) as gate:
        folders = CandidateFolders(store.location(port=gate.port), keeping)
        gate.shut()
        with socket.create_server(("127.0.0.1", gate.port)):
            began = time.monotonic()
            with pytest.raises(RuntimeError, match="cannot be written"):
                fill_and_fail(folders, keeping)
            assert time.monotonic() - began < 100
