"""Which candidates of a study with several objectives are worth keeping: a sample of its front."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from phylon.record import Record
from phylon.search.objective import losses
from phylon.search.pareto import crowding_distances, pareto_front
from phylon.state import StudyState

FRONT = 10
"""How many members of a front are kept and shown: those that are farthest from the others."""


def front(state: StudyState, records: Iterable[Record]) -> list[Record]:
    """Return those that no other one beats in every objective, by id; at most `FRONT` of them.

    Only those of them count that are comparable (`StudyState.comparable`), and were trained. With
    one objective there is no front: the result is empty.
    """
    if len(state.objectives) < 2:
        return []
    fit = state.comparable(record for record in records if not record.candidate.is_scored)
    if not fit:
        return []
    fit.sort(key=state.rank)
    values = np.array([losses(state.objectives, record.metrics) for record in fit])
    members = np.flatnonzero(pareto_front(values))
    apart = np.argsort(-crowding_distances(values[members]), kind="stable")
    return sorted((fit[i] for i in members[apart[:FRONT]]), key=lambda record: record.id)
