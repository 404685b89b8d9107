"""Drivers on simulated slots, which report and end in any order, and drivers that die."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from pyarrow import fs

from phylon import events
from phylon.cluster.executor import Usage
from phylon.config import StudyConfig
from phylon.driver import Driver
from phylon.journal import JournalReader, JournalWriter, encode_line
from phylon.keeping import Keeping
from phylon.ledger import Ledger, replay
from phylon.order import FreeOrder, Order, StrictOrder
from phylon.proposer import Proposer
from phylon.search import Architecture, Choice, Float, SearchSpace, make_strategy
from phylon.search.candidate import Candidate, Measurement

LOCAL = fs.LocalFileSystem()
SPACE = SearchSpace(x=Float(0.0, 1.0), kind=Choice("a", "b"))
CREATED = events.Created(
    uid="u",
    config={
        "objectives": [{"metric": "y", "direction": "maximize"}],
        "training": {"epochs": 4},
    },
    space=SPACE.to_json(),
    metrics=["y"],
)
FINAL = {"top": 2, "epochs": 2, "seeds": 2}


def plan(candidates: int, seed: int, final: dict[str, int] | None = None) -> StudyConfig:
    return StudyConfig.build(
        name="s",
        task="t:t",
        objectives=CREATED.config["objectives"],
        budget={"candidates": candidates},
        seed=seed,
        final=final,
    )


def tear(folder: Path, random: Random) -> None:
    """Leave what a driver leaves that dies while it writes: half an event, or an empty segment."""
    segments = sorted((folder / "journal").glob("*.jsonl"))
    if segments and segments[-1].stat().st_size:
        fresh = segments[0].with_name(f"{len(journal(folder)):012d}.jsonl")
        half = encode_line(events.Lost(candidate_id=0, reason="never said"))[:20]
        victim, content = random.choice([(segments[-1], half), (fresh, half), (fresh, b"")])
        with victim.open("ab") as file:
            file.write(content)


@contextmanager
def opened(
    folder: Path,
    config: StudyConfig,
    *,
    window: int | None = None,
    halving: bool = False,
    repeats: bool = False,
    inherit: bool = False,
    space: SearchSpace = SPACE,
    advice: Sequence[Architecture] | None = None,
    strategy: Mapping[str, Any] | None = None,
) -> Iterator[Driver]:
    """A driver on whatever the journal in `folder` holds; strict if there is a window.

    Its strategy is `enas` if there is advice for it, and an evolution if nothing is said.
    """
    reader = JournalReader(LOCAL, str(folder / "journal"))
    evolution = {"name": "regularized_evolution", "population": 4, "sample": 2, "repeats": repeats}
    evolution |= {"inherit": True} if inherit else {}
    params = {"name": "halving", "of": evolution, "epochs": 4, "eta": 2} if halving else evolution
    params = params if advice is None else {"name": "enas"}
    params = strategy or params
    proposer = Proposer(lambda: make_strategy(space=space, seed=config.seed, **params))
    keeping = Keeping(1, lambda: proposer.living)
    state = replay(reader.read(), proposer, keeping)
    writer = JournalWriter(LOCAL, str(folder / "journal"), reader=reader)
    if not state.created:
        writer.append(CREATED)
        state.apply(CREATED)
    early = JournalReader(LOCAL, str(folder / "early"))
    held = list(early.read())
    early_writer = JournalWriter(LOCAL, str(folder / "early"), reader=early)
    order: Order = StrictOrder(window, early_writer, state) if window else FreeOrder()
    ledger = Ledger(writer, state, proposer, keeping)
    yield Driver(config, proposer, ledger, order=order, held=held, advise=lambda _: advice or ())
    writer.close()
    early_writer.close()


def journal(folder: Path) -> list[events.Event]:
    return list(JournalReader(LOCAL, str(folder / "journal")).read())


def trained(candidate: Candidate, step: int) -> dict[str, float]:
    return {"y": candidate.architecture["x"] * (1 - 0.5**step) + candidate.seed * 1e-12}


class Slots:
    """Runs a driver on so many simulated slots, which report and end in a random order."""

    def __init__(
        self,
        driver: Driver,
        slots: int,
        random: Random,
        *,
        fails: float = 0.0,
        metrics: Callable[[Candidate, int], dict[str, float]] = trained,
    ) -> None:
        self.driver, self.slots, self.random, self.fails = driver, slots, random, fails
        self.metrics = metrics
        self.at_work: list[Iterator[None]] = []
        self.trained: list[int] = []

    def step(self) -> bool:
        """Let one thing happen; return whether there was anything."""
        while len(self.at_work) < self.slots and (candidate := self.driver.propose()):
            self.at_work.append(self._work(candidate))
        self.driver.flush()
        if not self.at_work:
            return False
        worker = self.random.choice(self.at_work)
        if next(worker, "ended") == "ended":
            self.at_work.remove(worker)
        return True

    def run(self, limit: int = 10_000) -> None:
        for _ in range(limit):
            if not self.step():
                return

    def _work(self, candidate: Candidate) -> Iterator[None]:
        self.trained.append(candidate.id)
        for step in (1, 2):
            kept = (None, "weights.safetensors")[step - 1]
            measured = Measurement(step, self.metrics(candidate, step), 0.1, kept)
            self.driver.observe(candidate.id, measured)
            yield
        if Random(candidate.id).random() < self.fails:
            self.driver.fail(candidate.id, "bad luck", Usage(0.2))
        else:
            self.driver.complete(candidate.id, Usage(0.2))


def ended(history: list[events.Event]) -> list[int]:
    ends = events.Completed | events.Failed
    return [event.candidate_id for event in history if isinstance(event, ends)]


def without_times(history: list[events.Event]) -> list[events.Event]:
    return [dataclasses.replace(event, time=0.0) for event in history]
