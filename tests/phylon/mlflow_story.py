"""A made-up study as a list of events, one a second, and what MLflow holds of it."""

from __future__ import annotations

from typing import Any

from phylon import events
from phylon.mlflow_notes import render
from phylon.mlflow_plan import Projection
from phylon.mlflow_writes import Plan
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement


class Events(list[events.Event]):
    """Grows event by event; candidate n has the decision lr = n."""

    def __init__(self, *objectives: str, slots: int = 0, **config: Any) -> None:
        self.now = 0.0
        told = [{"metric": name, "direction": "minimize"} for name in objectives or ("loss",)]
        config = {"name": "digits", "objectives": told, **config}
        self.tell(events.Created, uid="u", config=config, space={}, metrics=["loss"])
        self.open(slots)

    def tell(self, kind: type[events.Event], **fields: Any) -> None:
        self.now += 1
        self.append(kind(time=self.now, **fields))

    def open(self, slots: int = 0) -> None:
        self.tell(events.Opened, host="a", pid=1, versions={"x": "1"}, budget={}, slots=slots)

    def propose(self, number: int, *parents: int, **fields: Any) -> None:
        decisions = fields.pop("decisions", {"lr": number})
        made = Candidate(number, Architecture(decisions), parents, "mutate", **fields)
        self.tell(events.Proposed, candidate=made)

    def complete(self, number: int, seconds: float = 1.0, **metrics: float) -> None:
        measured = Measurement(1, metrics, 0.1)
        self.tell(events.Reported, candidate_id=number, measurement=measured)
        held = {"cpus": 0.5, "gpus": 0.25}
        self.tell(
            events.Completed,
            candidate_id=number,
            metrics=metrics,
            seconds=seconds,
            resources=held,
            node="n1",
        )

    def fail(self, number: int, reason: str = "no luck", seconds: float = 1.0) -> None:
        self.tell(events.Failed, candidate_id=number, reason=reason, seconds=seconds)

    def run(self, number: int, *parents: int, **metrics: float) -> None:
        self.propose(number, *parents)
        self.complete(number, **metrics)

    def finish(self) -> None:
        self.tell(events.Finished, reason="the budget is spent")


def plan_of(story: Events) -> Plan:
    return Projection().plan(story)


def note_of(plan: Plan, run: int) -> str:
    """Return a run's note; the run of candidate n is called run-n."""
    note = plan[run].note
    assert note is not None
    return render(note, "7", {number: f"run-{number}" for number in plan})


def values_of(plan: Plan, run: int, key: str) -> list[tuple[int, float]]:
    """Return the points of a metric as pairs of step and value."""
    return [(point.step, point.value) for point in plan[run].metrics if point.key == key]
