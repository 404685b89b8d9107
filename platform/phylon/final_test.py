"""The one time that the test split is touched: for the winner, when all is decided."""

from __future__ import annotations

import functools
from pathlib import Path

from phylon import events
from phylon.cluster.executor import Executor
from phylon.search.candidate import Candidate
from phylon.search.evaluation import Context, Evaluator, Tester
from phylon.state import StudyState


def test_winners(
    evaluator: Evaluator, folder: Path, state: StudyState, executor: Executor
) -> events.Tested | None:
    """Test all trainings of the winning architecture; None if there is none, or no test split.

    Args:
        evaluator: What trained them.
        folder: The study's folder.
        state: The study, with nothing left to run.
        executor: Where to run the test.
    """
    winners = [record.candidate for record in state.winners()]
    if not winners or not isinstance(evaluator, Tester):
        return None
    rows = executor.call(functools.partial(_test, evaluator, folder, winners))
    metrics = {name: [row[name] for row in rows] for name in rows[0]}
    return events.Tested(candidate_ids=[winner.id for winner in winners], metrics=metrics)


def _test(evaluator: Tester, folder: Path, candidates: list[Candidate]) -> list[dict[str, float]]:
    return [
        evaluator.test(c, Context(folder / "candidates" / str(c.id), report=lambda _: None))
        for c in candidates
    ]
