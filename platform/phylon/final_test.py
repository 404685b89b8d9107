"""The one time that the test split is touched: for the winner, when all is decided."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from phylon import events
from phylon.cluster.executor import Executor
from phylon.cluster.location import Location
from phylon.cluster.mirror import Mirror
from phylon.errors import EvaluationError
from phylon.record import Record
from phylon.search.evaluation import Context, Tester
from phylon.state import StudyState
from phylon.study import Study

log = logging.getLogger(__name__)


def test_winners(study: Study, state: StudyState, executor: Executor) -> events.Tested | None:
    """Test all trainings of the winning architecture; None if there is none, or no test split.

    Those whose weights could not be written are left out, with a warning.

    Args:
        study: The study.
        state: Its state, with nothing left to run.
        executor: Where to run the test.

    Raises:
        EvaluationError: The test raised. The study can be resumed, which tests again.
    """
    evaluator: object = study.parts.evaluator
    winners = state.winners()
    if not winners or not isinstance(evaluator, Tester):
        return None
    location, resources = study.location, study.config.resources
    threads, device = max(1, int(resources.cpus)), "cuda" if resources.gpus else "cpu"
    try:
        rows = executor.call(lambda: _test_all(evaluator, winners, location, threads, device))
    except Exception as error:
        reason = str(error).strip().splitlines()[-1]
        raise EvaluationError(
            f"the test of candidate {winners[0].id}, the winner, failed: {reason}; mend the task's "
            f"test and `phylon resume {study.location}`: nothing is trained again"
        ) from error
    for record in winners:
        if record.id not in rows:
            log.warning("candidate %d is not tested: %s", record.id, record.note)
    names = next(iter(rows.values()), {})
    metrics = {name: [row[name] for row in rows.values()] for name in names}
    return events.Tested(candidate_ids=list(rows), metrics=metrics) if names else None


def _test_all(
    evaluator: Tester, winners: Sequence[Record], location: Location, threads: int, device: str
) -> dict[int, dict[str, float]]:
    """Return the test metrics of each winner by its id; runs where a candidate would."""
    mirror = Mirror(location)
    rows = {}
    for winner in winners:
        candidate = winner.candidate
        context = Context(mirror.fetch(candidate), _ignore, threads, device)
        try:
            rows[winner.id] = evaluator.test(candidate, context)
        except EvaluationError:
            if not winner.is_unwritten:
                raise
        mirror.drop(candidate)
    return rows


def _ignore(_measurement: object) -> None:
    """Take a measurement that a test has no use for."""
