"""Scores that were measured before: the same network with the same weights scores the same."""

from __future__ import annotations

from collections.abc import Iterable

from phylon import events
from phylon.search.candidate import Candidate
from phylon.search.space import SearchSpace
from phylon.state import StudyState

FROM_MEMORY = "cache"
"""Where a candidate ran that did not need to."""


class Scores:
    """Remembers the metrics of candidates that were scored with shared weights.

    Args:
        space: Says which architectures are the same network.
        state: The study, kept up to date by others.
    """

    def __init__(self, space: SearchSpace, state: StudyState) -> None:
        self._space = space
        self._state = state
        self._metrics: dict[tuple[int | None, str], dict[str, float]] = {}
        for record in state.records.values():
            if record.state == "completed":
                self._keep(record.candidate, record.metrics)

    def learn(self, batch: Iterable[events.Event]) -> None:
        """Remember what was completed."""
        for event in batch:
            if isinstance(event, events.Completed):
                self._keep(self._state.records[event.candidate_id].candidate, event.metrics)

    def known(self, candidate: Candidate) -> events.Completed | None:
        """Return the result of a candidate that is not worth a worker; None if it is."""
        if not candidate.is_scored:
            return None
        metrics = self._metrics.get(self._key(candidate))
        if metrics is None:
            return None
        return events.Completed(
            candidate_id=candidate.id, metrics=metrics, seconds=0.0, node=FROM_MEMORY
        )

    def _keep(self, candidate: Candidate, metrics: dict[str, float]) -> None:
        if candidate.is_scored:
            self._metrics[self._key(candidate)] = metrics

    def _key(self, candidate: Candidate) -> tuple[int | None, str]:
        return candidate.inherit_from, self._space.key(candidate.architecture)
