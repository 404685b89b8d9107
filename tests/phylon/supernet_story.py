"""The events of a study with shared weights, phase by phase, as a driver would write them."""

from __future__ import annotations

import itertools
from typing import Any

from phylon import events
from phylon.config import StudyConfig
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement, Phase
from phylon.state import StudyState

SUPERNET = 0
SAMPLES = (1, 2, 3, 4)
PROBES = (5, 6, 7, 8)  # of these samples, in this order
SEARCH = (9, 10, 11)
FRESH, EXTRACTED = (12, 13), (14, 15)  # of candidate 10
EPOCHS = 5


class SupernetStory:
    """Makes the events of each phase; accuracies are a candidate's id / 100 unless told."""

    def __init__(self, **config: Any) -> None:
        self.clock = itertools.count(1_700_000_000)
        self.config = StudyConfig.build(
            **{
                "name": "shared",
                "task": "digits",
                "evaluator": "supernet",
                "supernet": {"epochs": EPOCHS, "probes": 4, "rank_floor": 0.3},
                "objectives": [{"metric": "val_accuracy", "direction": "maximize"}],
                "budget": {"candidates": len(SEARCH)},
                "final": {"epochs": 9, "top": 1, "seeds": 2, "weights": "both"},
                **config,
            }
        )

    def begin(self) -> list[events.Event]:
        config = self.config.to_json()
        fields = {"uid": "u", "config": config, "space": {}, "metrics": ["val_accuracy"]}
        budget = {"candidates": len(SEARCH)}
        return [
            events.Created(time=self.now(), **fields),
            events.Opened(time=self.now(), host="h", pid=1, versions={}, budget=budget),
        ]

    def supernet(self) -> list[events.Event]:
        metrics = {"loss": 0.7, "path_accuracy": 0.5}
        shared = Candidate(SUPERNET, Architecture({}), operator="share", phase="supernet")
        return [
            events.Proposed(time=self.now(), candidate=shared),
            *(self.reported(SUPERNET, step, metrics) for step in range(1, EPOCHS + 1)),
            self.completed(SUPERNET, metrics),
        ]

    def samples(self) -> list[events.Event]:
        return [event for n in SAMPLES for event in self.scored(n, "sample")]

    def probes(self, accuracies: tuple[float, ...] = (0.6, 0.7, 0.8, 0.9)) -> list[events.Event]:
        told: list[events.Event] = []
        for probe, sample, accuracy in zip(PROBES, SAMPLES, accuracies, strict=False):
            told += self.trained(probe, "probe", accuracy, parents=(sample,))
        return told

    def search(self) -> list[events.Event]:
        return [event for n in SEARCH for event in self.scored(n, "search")]

    def finals(self) -> list[events.Event]:
        told: list[events.Event] = []
        for number in FRESH + EXTRACTED:
            given = SUPERNET if number in EXTRACTED else None
            fields = {"parents": (10,), "operator": "retrain", "epochs": 9, "inherit_from": given}
            told += self.trained(number, "final", 0.8 + number / 100, **fields)
        return told

    def ranked(self, tau: float | None, probes: int = 4, verdict: Any = "") -> events.Ranked:
        known = {"kendall_tau": tau, "low": -0.2, "high": 0.9, "top_half": None}
        return events.Ranked(time=self.now(), **known, probes=probes, verdict=verdict)

    def scored(self, number: int, phase: Phase) -> list[events.Event]:
        accuracy = {"val_accuracy": number / 100}
        return [
            self.proposed(number, phase, epochs=0, inherit_from=SUPERNET),
            self.reported(number, 1, accuracy),
            self.completed(number, accuracy),
        ]

    def trained(
        self, number: int, phase: Phase, accuracy: float, **fields: Any
    ) -> list[events.Event]:
        metrics = {"val_accuracy": accuracy}
        return [
            self.proposed(number, phase, **fields),
            self.reported(number, 9, metrics),
            self.completed(number, metrics),
        ]

    def proposed(self, number: int, phase: Phase, **fields: Any) -> events.Event:
        candidate = Candidate(number, Architecture({"width": number}), phase=phase, **fields)
        return events.Proposed(time=self.now(), candidate=candidate)

    def reported(self, number: int, step: int, metrics: dict[str, float]) -> events.Event:
        measurement = Measurement(step, metrics, 1.0)
        return events.Reported(time=self.now(), candidate_id=number, measurement=measurement)

    def completed(self, number: int, metrics: dict[str, float]) -> events.Event:
        return events.Completed(time=self.now(), candidate_id=number, metrics=metrics, seconds=1.0)

    def now(self) -> float:
        return float(next(self.clock))

    def until_search(self) -> list[events.Event]:
        return [*self.begin(), *self.supernet(), *self.samples(), *self.probes(), *self.search()]

    def whole(self) -> list[events.Event]:
        ended = events.Finished(time=self.now(), reason="done")
        trusted = self.ranked(1.0, verdict="trusted")
        return [*self.until_search(), trusted, *self.finals(), ended]


def state_of(*parts: list[events.Event]) -> StudyState:
    return StudyState(itertools.chain.from_iterable(parts))
