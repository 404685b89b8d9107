"""A made-up study: its journal as a driver would write it, and what MLflow makes of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phylon import SearchSpace, Study, events
from phylon.cluster.location import Location
from phylon.journal import JournalWriter
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement
from tests.phylon.toy import SPACE, Toy


class Story:
    """Writes the journal of a study, one event a second.

    Candidate n has the decision lr = n and reports the accuracy n + step.
    """

    epochs = 4

    def __init__(self, study: Path | Location) -> None:
        self.study = study
        journal = (Location(study) if isinstance(study, Path) else study) / "journal"
        self._writer = JournalWriter(journal.filesystem, journal.path)
        self._clock = itertools.count(1_700_000_000)

    def tell(self, kind: type[events.Event], **fields: object) -> None:
        self._writer.append(kind(time=float(next(self._clock)), **fields))

    def create(self, **config: object) -> None:
        objectives = [{"metric": "accuracy", "direction": "maximize"}]
        config = {"name": self.study.name, "objectives": objectives, "space": {}, **config}
        self.tell(
            events.Created,
            uid=f"uid-{self.study.name}",
            config=config,
            space={"width": "a tree"},
            metrics=["accuracy", "loss"],
            fingerprint={"name": "digits", "digest": "0123", "images": 1797},
        )
        self.open()

    def open(self) -> None:
        versions = {"torch": "2.13.0"}
        self.tell(events.Opened, host="here", pid=1, versions=versions, budget={"candidates": 9})

    def propose(self, *ids: int, **decisions: object) -> None:
        for number in ids:
            architecture = Architecture({"lr": number, "stages": [{"width": 8}], **decisions})
            parents = (number - 1,) if number else ()
            candidate = Candidate(number, architecture, parents, "mutate", generation=number)
            self.tell(events.Proposed, candidate=candidate)

    def train(self, *ids: int, **metrics: float) -> None:
        for number, step in itertools.product(ids, range(1, self.epochs + 1)):
            values = {"accuracy": number + step, "loss": 1 / step, **metrics}
            measurement = Measurement(step, values, 0.5)
            self.tell(events.Reported, candidate_id=number, measurement=measurement)

    def complete(self, *ids: int) -> None:
        for number in ids:
            metrics = {"accuracy": number + self.epochs, "loss": 1 / self.epochs}
            self.tell(
                events.Completed, candidate_id=number, metrics=metrics, seconds=2.0, node="n1"
            )

    def finish(self) -> None:
        self.tell(events.Finished, reason="the budget is spent")

    def run(self, *ids: int) -> None:
        for number in ids:
            self.propose(number)
            self.train(number, miss=float("nan"))
            self.complete(number)

    @property
    def events(self) -> int:
        """How many events were written."""
        return self._writer.events


@pytest.fixture(scope="session")
def new_story() -> Callable[[Path], Story]:
    return Story


@pytest.fixture
def new_study(tmp_path: Path) -> Callable[..., Study]:
    def build(task: Any = None, space: SearchSpace = SPACE, **fields: Any) -> Study:
        settings = {
            "name": "toy",
            "objectives": [{"metric": "y", "direction": "maximize"}],
            "budget": {"candidates": 8},
            "tracking": {"uri": "none"},
            "storage": str(tmp_path / "studies"),
            **fields,
        }
        return Study(task=task or Toy(), space=space, **settings)

    return build
