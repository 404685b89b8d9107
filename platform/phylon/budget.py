"""Whether a study may search on, or why its budget is spent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from phylon.config import Budget
from phylon.state import StudyState


class Limit(NamedTuple):
    """One limit of a budget.

    Attributes:
        unit: What is counted.
        spent: How much was spent.
        most: How much there is.
        words: Why the search ends when it is spent.
    """

    unit: str
    spent: float
    most: float
    words: str


HOPELESS = 100
"""After so many failures, and nothing else, a task is not expected to work."""


def limits(budget: Budget, state: StudyState, seconds: float) -> Iterator[Limit]:
    """Yield the limits of a budget, and how far the search is; other phases do not count.

    Args:
        budget: What may be spent.
        state: The study.
        seconds: How long drivers have run it, see `StudyState.seconds_at`.
    """
    hours, gpu_hours = seconds / 3600, state.spent.gpu_seconds / 3600
    for unit, spent, most, words in (
        ("candidates", state.searched, budget.candidates, "all candidates were tried"),
        ("epochs", state.spent.epochs, budget.epochs, "the epochs are spent"),
        ("GPU hours", gpu_hours, budget.gpu_hours, "the GPU hours are spent"),
        ("hours", hours, budget.hours, "the hours are spent"),
    ):
        if most is not None:
            yield Limit(unit, spent, most, words)


def spent(budget: Budget, state: StudyState, seconds: float) -> str:
    """Return why the search may try no more candidates; nothing if it may. See `limits`.

    Candidates that fail spend little, and would be tried for as long as the other limits allow, if
    they are not counted themselves.
    """
    if budget.candidates is None and not state.completed and state.failed >= HOPELESS:
        return (
            f"none of the first {state.failed} candidates completed; mend the reason, then set "
            f"budget.candidates and resume the study"
        )
    over = (limit.words for limit in limits(budget, state, seconds) if limit.spent >= limit.most)
    return next(over, "")
