"""Which candidates of a study with several objectives are worth keeping: a sample of its front."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from phylon.search.objective import losses
from phylon.search.pareto import crowding_distances, pareto_front
from phylon.state import Record, StudyState

FRONT = 10
"""How many members of a front are kept and shown: those that are farthest from the others."""


def front(state: StudyState, records: Iterable[Record]) -> list[Record]:
    """Return those that no other one beats in every objective, by id; at most `FRONT` of them.

    Only what was trained for as long as the best of them counts, and what meets the constraints.
    With one objective there is no front: the result is empty.
    """
    if len(state.objectives) < 2:
        return []
    ranked = sorted((r for r in records if not r.candidate.is_scored), key=state.rank)
    fit = [
        record
        for record in ranked
        if record.candidate.epochs == ranked[0].candidate.epochs and not state.violation(record)
    ]
    if not fit:
        return []
    values = np.array([losses(state.objectives, record.metrics) for record in fit])
    members = np.flatnonzero(pareto_front(values))
    apart = np.argsort(-crowding_distances(values[members]), kind="stable")
    return sorted((fit[i] for i in members[apart[:FRONT]]), key=lambda record: record.id)
