"""A made-up study whose candidates begin with the weights of others."""

from __future__ import annotations

from typing import Any

from phylon import events
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement
from phylon.state import StudyState

AFRESH = "began with random weights: those of candidate 1 are gone"


class Heirs:
    """Grows by one candidate after another, each of which holds half a core and a quarter GPU.

    Attributes:
        state: The study so far.
        history: The events that made it.
    """

    def __init__(self) -> None:
        objectives = [{"metric": "y", "direction": "maximize"}]
        config: dict[str, Any] = {"name": "heirs", "objectives": objectives, "final": None}
        config["tracking"] = {"uri": "none"}
        self.history: list[events.Event] = []
        self.state = StudyState()
        self._take(events.Created(uid="u", config=config, space={}, metrics=["y"], time=1.0))

    def add(
        self,
        parent: int | None = None,
        *,
        y: float = 0.5,
        epochs: int = 2,
        share: float = 0.75,
        note: str = "",
        joules: float | None = None,
        **fields: Any,
    ) -> int:
        """Add a candidate that was trained to its end, with the weights of its parent if any."""
        number = len(self.state.records)
        decisions = {"x": fields.pop("x", number)}
        if parent is not None:
            fields = {"parents": (parent,), "operator": "mutate", "inherit_from": parent, **fields}
        candidate = Candidate(number, Architecture(decisions), **fields)
        inherited = {} if candidate.inherit_from is None else {"inherited_share": share}
        metrics = {"y": y, **inherited}
        self._take(events.Proposed(candidate=candidate, time=2.0))
        measurement = Measurement(epochs, metrics, 1.0, note=note)
        self._take(events.Reported(candidate_id=number, measurement=measurement, time=3.0))
        ended: dict[str, Any] = {"resources": {"cpus": 0.5, "gpus": 0.25}, "joules": joules}
        ended |= {"metrics": metrics, "seconds": 8.0, "node": "n", "time": 4.0}
        self._take(events.Completed(candidate_id=number, **ended))
        return number

    def _take(self, event: events.Event) -> None:
        self.history.append(event)
        self.state.apply(event)


def heirs() -> Heirs:
    """Return 0 to 4 in one line of descent, in which 2 could not begin with the weights of 1."""
    study = Heirs()
    study.add(y=0.5, joules=10.0)
    study.add(0, y=0.6, joules=10.0)
    study.add(1, y=0.55, share=0.0, note=AFRESH, joules=10.0)
    study.add(2, y=0.7, joules=10.0)
    study.add(3, y=0.8, joules=None)
    return study
