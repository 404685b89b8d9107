"""A study in an object store is a study like any other."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from phylon import Candidate, Context, Study
from phylon.cli import main
from phylon.cluster.location import CANDIDATES, Location
from phylon.errors import JournalError, StudyError
from phylon.journal import JournalReader
from phylon.lock import hold
from tests.cluster.store import Gate, Store, answering
from tests.phylon.own_heirs import HeirsTask
from tests.phylon.toy import SPACE, Toy, run


class PowerCut(BaseException):
    """The driver's machine is off."""


def new_study(storage: Location) -> Study:
    return Study(
        name="toy",
        task=Toy(),
        space=SPACE,
        objectives=[{"metric": "y", "direction": "maximize"}],
        budget={"candidates": 12},
        final={"top": 2, "epochs": 1, "seeds": 2},
        strategy={"name": "regularized_evolution", "population": 4, "sample": 2},
        storage=str(storage),
        tracking={"uri": "none"},
    )


At = Callable[[int, Callable[[], None]], AbstractContextManager[None]]


@pytest.fixture
def at_candidate(monkeypatch: pytest.MonkeyPatch) -> At:
    """Return what has something happen when a candidate is evaluated."""

    @contextmanager
    def hook(number: int, happen: Callable[[], None]) -> Iterator[None]:
        evaluate = Toy.evaluate

        def hooked(self: Toy, candidate: Candidate, context: Context) -> None:
            if candidate.id == number:
                happen()
            evaluate(self, candidate, context)

        with monkeypatch.context() as patch:
            patch.setattr(Toy, "evaluate", hooked)
            yield

    return hook


def cut_power() -> None:
    raise PowerCut


@contextmanager
def through_a_gate(store: Store) -> Iterator[tuple[Gate, Location]]:
    with Gate(store.port) as gate:
        yield gate, store.location(port=gate.port).parent


def test_it_runs_to_its_end_and_is_opened_by_its_uri(store: Store) -> None:
    study = new_study(store.location().parent)
    state = run(study)
    assert state.completed == 16
    assert state.tested
    again = Study.open(str(study.location))
    assert again.status() == "finished"
    assert again.state().completed == 16
    kept = (study.location / CANDIDATES).names()
    assert {str(record.id) for record in state.winners()} <= set(kept)
    assert len(kept) == 6  # the best two of the search, and the final phase


def test_it_is_resumed_where_it_was(store: Store, at_candidate: At) -> None:
    study = new_study(store.location().parent)
    with at_candidate(7, cut_power), pytest.raises(PowerCut):
        run(study)
    assert study.status() == "interrupted"
    assert study.state().completed == 7
    state = run(study, resume=True)
    assert (state.completed, state.proposed["search"]) == (16, 12)
    with pytest.raises(StudyError, match="go on with it by `phylon resume s3://"):
        run(study)


def test_children_find_the_weights_of_their_parents_there(store: Store) -> None:
    study = Study(
        name="heirs",
        task=HeirsTask(),
        objectives=[{"metric": "val_loss", "direction": "minimize"}],
        budget={"candidates": 8},
        training={"epochs": 1},
        strategy={"name": "lamarckian", "population": 3, "sample": 2},
        storage=str(store.location().parent),
        tracking={"uri": "none"},
    )
    records = run(study).records
    heirs = [each for each in records.values() if each.candidate.inherit_from is not None]
    assert len(heirs) == 5
    assert all(each.metrics["inherited_share"] > 0 and not each.note for each in heirs)
    folder = study.location / CANDIDATES
    assert {int(name) for name in folder.names()} == {i for i in records if records[i].has_weights}
    for name in folder.names():
        assert (folder / name).names() == ["optimizer.safetensors", "weights.safetensors"]


def test_a_second_driver_is_refused(store: Store) -> None:
    study = new_study(store.location().parent)
    with hold(study.location), pytest.raises(StudyError, match="run by another driver"):
        run(study)
    assert study.state().created is None


def test_an_outage_costs_time_only(store: Store, at_candidate: At) -> None:
    with through_a_gate(store) as (gate, storage):
        study = new_study(storage)
        with at_candidate(3, lambda: gate.shut_for(1.5)):
            assert run(study).completed == 16
        journal = study.location / "journal"
        history = list(JournalReader(journal.filesystem, journal.path).read())
        assert len(history) == 16 * 4 + 4


@pytest.mark.slow
def test_a_stop_is_not_held_up_by_a_store_that_is_away(store: Store, at_candidate: At) -> None:
    def shut_and_interrupt() -> None:
        gate.shut()
        threading.Timer(1.0, os.kill, [os.getpid(), signal.SIGINT]).start()

    with through_a_gate(store) as (gate, storage):
        study = new_study(storage)
        began = time.monotonic()
        away = pytest.raises(JournalError, match=r"NETWORK_CONNECTION.*`phylon resume`")
        with at_candidate(3, shut_and_interrupt), away:
            run(study)
        assert time.monotonic() - began < 60
        gate.open()
        assert run(study, resume=True).completed == 16


def test_a_store_that_lets_nobody_in_is_said(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(403) as port:
        assert main(["list", str(store.location(port=port))]) == 2
    said = capsys.readouterr().err
    assert "ACCESS_DENIED" in said
    assert "check the URI and your credentials" in said
