"""The note of a study's run: what is searched, how far it is, and what it found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from phylon import events
from phylon.mlflow_notes import MOST_RELATIVES, Link, Note, escape, numbers
from phylon.record import Record
from phylon.state import StudyState
from phylon.trainables.words import describe

_LIMITS = ("candidates", "epochs", "hours", "gpu_hours")


def study_note(state: StudyState, leader: Record | None, names: Sequence[tuple[str, str]]) -> Note:
    """Return what there is to say of a study; MLflow shows the first lines at once.

    Args:
        state: The study.
        leader: The best candidate of the search so far.
        names: Keys in MLflow, and the names that they stand for.
    """
    config = state.created.config if state.created else {}
    return (
        f"**So far:** {state.completed:,} completed, {state.failed:,} failed",
        *_best(state, leader),
        *_winners(state),
        f"\n\n**Objectives:** {_objectives(state)}",
        f"\n\n**Search:** {_search(config)}",
        *_names(names),
    )


def _search(config: Mapping[str, Any]) -> str:
    words = [str(config[name].get("name", "")) for name in ("strategy", "task") if config.get(name)]
    said = escape(" on ".join(words), 300)
    budget = config.get("budget") or {}
    limits = (
        f"{budget[limit]:,.12g} {limit.replace('gpu_', 'GPU ')}"
        for limit in _LIMITS
        if budget.get(limit)
    )
    said += f", at most {bounds}" if (bounds := " or ".join(limits)) else ""
    return f"{said}, seed {config.get('seed', 0)} (study.yaml, and the space in space.txt)"


def _objectives(state: StudyState) -> str:
    goals = ", ".join(f"{o.direction} {escape(o.metric, 200)}" for o in state.objectives)
    bounds = ", ".join(escape(str(each), 300) for each in state.constraints)
    return f"{goals}, with {bounds}" if bounds else goals


def _best(state: StudyState, leader: Record | None) -> Iterator[str | Link]:
    if leader is not None:
        yield "\n\n**Best of the search:** "
        yield Link(leader.id, f"candidate {leader.id}")
        yield f": {numbers(leader, state.objectives)}"
        yield ", scored with shared weights" if leader.candidate.is_scored else ""
        yield f": {escape(describe(leader.candidate.architecture))}"


def _winners(state: StudyState) -> Iterator[str | Link]:
    """Tell the winner of a finished study; it is sought only then."""
    winners = state.winners() if isinstance(state.ending, events.Finished) else ()
    for place, record in enumerate(winners[:MOST_RELATIVES]):
        yield ", " if place else "\n\n**The best network,** trained as "
        yield Link(record.id, f"candidate {record.id}")
        yield f": {numbers(record, state.objectives)}"


def _names(names: Sequence[tuple[str, str]]) -> Iterator[str]:
    for place, (key, name) in enumerate(names[:MOST_RELATIVES]):
        yield "; " if place else "\n\n**Names that MLflow does not take:** "
        yield f"{escape(key, 100)} is {escape(name, 100)}"
    if len(names) > MOST_RELATIVES:
        yield f"; and {len(names) - MOST_RELATIVES:,} more, all in the tags"
