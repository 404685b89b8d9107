"""Small studies on a real Ray, as the tests of the executor run them."""

from __future__ import annotations

from pathlib import Path

from pyarrow import fs

from phylon import events
from phylon.cluster import TuneExecutor
from phylon.cluster.executor import Share
from phylon.cluster.location import Location
from phylon.cluster.shares import FixedShares
from phylon.config import StudyConfig
from phylon.driver import Driver
from phylon.journal import JournalWriter
from phylon.keeping import Keeping
from phylon.ledger import Ledger, Listener
from phylon.order import FreeOrder, StrictOrder
from phylon.proposer import Proposer
from phylon.search import Evaluator, Float, SearchSpace, make_strategy
from phylon.state import StudyState

SPACE = SearchSpace(x=Float(0.0, 1.0))


def new_driver(
    folder: Path, candidates: int, listener: Listener | None = None, window: int | None = None
) -> Driver:
    config = StudyConfig.build(
        name="s",
        task="t:t",
        objectives=[{"metric": "y", "direction": "maximize"}],
        budget={"candidates": candidates},
    )
    created = events.Created(
        uid="u",
        config=config.to_json(),
        space=SPACE.to_json(),
        metrics=["y"],
    )
    state = StudyState([created])
    local = fs.LocalFileSystem()
    early = JournalWriter(local, str(folder / "early"))
    proposer = Proposer(lambda: make_strategy("random", SPACE))
    journal = JournalWriter(local, str(folder / "journal"))
    ledger = Ledger(journal, state, proposer, Keeping(1), [listener] if listener else [])
    order = StrictOrder(window, early, state) if window else FreeOrder()
    return Driver(config, proposer, ledger, order=order)


def new_executor(
    folder: Path, cpus: float = 0.5, gpus: float = 0.0, slots: int | None = None
) -> TuneExecutor:
    return TuneExecutor(Location(folder), FixedShares(Share(cpus, gpus), largest=0), slots=slots)


def run(
    folder: Path,
    evaluator: Evaluator,
    candidates: int,
    cpus: float = 0.5,
    gpus: float = 0.0,
    listener: Listener | None = None,
) -> StudyState:
    driver = new_driver(folder, candidates, listener)
    new_executor(folder, cpus, gpus).run(driver, evaluator)
    assert driver.finished
    return driver.state


def most_at_once(spans: list[tuple[float, float]]) -> int:
    """Return how many spans of time overlap at most."""
    moments = [(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans]
    running = most = 0
    for _, change in sorted(moments):
        running += change
        most = max(most, running)
    return most
