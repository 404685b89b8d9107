"""Small studies on a real Ray, as the tests of the executor run them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from pyarrow import fs

from phylon import events
from phylon.cluster import TuneExecutor
from phylon.cluster.executor import Share, Usage
from phylon.cluster.location import Location
from phylon.cluster.shares import FixedShares
from phylon.config import StudyConfig
from phylon.driver import Driver
from phylon.journal import JournalWriter
from phylon.keeping import Keeping
from phylon.ledger import Ledger, Listener
from phylon.order import FreeOrder, StrictOrder
from phylon.proposer import Proposer
from phylon.search import Candidate, Evaluator, Float, Measurement, SearchSpace, make_strategy
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


def nothing() -> None:
    """All is as it was."""


class Line:
    """A study of candidates one after another; something happens before each.

    Args:
        candidates: What is evaluated, and what happens before.
    """

    stopping = False

    def __init__(self, candidates: Sequence[tuple[Candidate, Callable[[], object]]]) -> None:
        self._left = deque(candidates)
        self.candidates = {each.id: each for each, _ in candidates}
        self._runs = False
        self.told: dict[int, list[Measurement]] = {}
        self.nodes: list[str] = []

    @property
    def finished(self) -> bool:
        return not self._left and not self._runs

    def propose(self) -> Candidate | None:
        if self._runs or not self._left:
            return None
        self._runs = True
        candidate, happening = self._left.popleft()
        happening()
        self.told[candidate.id] = []
        return candidate

    def observe(self, candidate_id: int, measurement: Measurement) -> None:
        self.told[candidate_id].append(measurement)

    def complete(self, _candidate_id: int, usage: Usage) -> None:
        self._runs = False
        self.nodes.append(usage.node.rpartition("/")[2])

    def fail(self, candidate_id: int, reason: str, _usage: Usage) -> None:
        raise AssertionError(f"{candidate_id}: {reason}")

    def outgrow(self, candidate_id: int, _usage: Usage) -> None:
        raise AssertionError(candidate_id)

    def lose(
        self, running: int, _waiting: Sequence[int], _reason: str, *, innocent: bool = False
    ) -> None:
        assert innocent
        self._runs = False
        self._left.appendleft((self.candidates[running], lambda: None))

    @property
    def shares(self) -> dict[int, float | None]:
        """How much of its weights each candidate inherited in the end."""
        return {
            number: each[-1].metrics.get("inherited_share") for number, each in self.told.items()
        }

    @property
    def notes(self) -> list[str]:
        """What was said of each step of each candidate."""
        return [each.note for told in self.told.values() for each in told]

    def flush(self) -> None:
        """Nothing is written."""


def most_at_once(spans: list[tuple[float, float]]) -> int:
    """Return how many spans of time overlap at most."""
    moments = [(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans]
    running = most = 0
    for _, change in sorted(moments):
        running += change
        most = max(most, running)
    return most
