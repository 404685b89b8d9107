"""The one time that the test split is touched: for the winner, when all is decided."""

from __future__ import annotations

from phylon import events
from phylon.cluster.executor import Executor
from phylon.cluster.location import Location
from phylon.cluster.mirror import Mirror
from phylon.errors import EvaluationError
from phylon.search.candidate import Candidate
from phylon.search.evaluation import Context, Tester
from phylon.state import StudyState
from phylon.study import Study


def test_winners(study: Study, state: StudyState, executor: Executor) -> events.Tested | None:
    """Test all trainings of the winning architecture; None if there is none, or no test split.

    Args:
        study: The study.
        state: Its state, with nothing left to run.
        executor: Where to run the test.

    Raises:
        EvaluationError: The test raised. The study can be resumed, which tests again.
    """
    evaluator: object = study.parts.evaluator
    winners = [record.candidate for record in state.winners()]
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
    if not rows[0]:
        return None
    metrics = {name: [row[name] for row in rows] for name in rows[0]}
    return events.Tested(candidate_ids=[winner.id for winner in winners], metrics=metrics)


def _test_all(
    evaluator: Tester, winners: list[Candidate], location: Location, threads: int, device: str
) -> list[dict[str, float]]:
    """Return the test metrics of each winner; runs where a candidate would."""
    mirror = Mirror(location)
    rows = []
    for winner in winners:
        rows.append(evaluator.test(winner, Context(mirror.fetch(winner), _ignore, threads, device)))
        mirror.drop(winner)
    return rows


def _ignore(_measurement: object) -> None:
    """Take a measurement that a test has no use for."""
