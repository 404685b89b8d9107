"""Runs candidates one after another in this process: for tests, tables and debugging."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TypeVar

from phylon.cluster.attempts import candidate_folder, evaluate
from phylon.cluster.executor import Driven, Share, Usage
from phylon.cluster.location import Location
from phylon.cluster.mirror import Mirror
from phylon.cluster.weights import shelf
from phylon.search.candidate import Candidate, Measurement
from phylon.search.evaluation import Context, Evaluator

T = TypeVar("T")


class _Abandoned(BaseException):
    """Ends an evaluation from within a report, past all that the evaluation may catch."""


class SerialExecutor:
    """One slot, in-process. A stop is noticed between two candidates and between two measurements.

    Args:
        location: Where the study is kept.
    """

    slots = 1
    words = ""

    def __init__(self, location: Location) -> None:
        self._mirror = Mirror(location)
        self._weights = shelf(location)

    def run(self, study: Driven, evaluator: Evaluator) -> None:
        """Evaluate what `study` proposes until it is finished or stopping."""
        evaluator = self._mirror.around(evaluator)
        try:
            while not study.stopping and (candidate := study.propose()):
                study.flush()
                self._evaluate(study, evaluator, candidate)
                study.flush()
        except _Abandoned as abandoned:
            if abandoned.__cause__:
                raise abandoned.__cause__ from None

    def call(self, function: Callable[[], T]) -> T:
        """Run one function and return its result."""
        return function()

    def _evaluate(self, study: Driven, evaluator: Evaluator, candidate: Candidate) -> None:
        folder = candidate_folder(self._mirror.folder, candidate.id)

        def report(measurement: Measurement) -> None:
            try:
                study.observe(candidate.id, measurement)
                study.flush()
            except Exception as error:
                raise _Abandoned from error
            if study.stopping:
                raise _Abandoned

        context = Context(folder, report, weights=self._weights)
        ended = evaluate(evaluator, candidate, context, Share())
        usage = Usage(ended.seconds, Share(), socket.gethostname(), joules=ended.joules)
        if ended.error is None:
            study.complete(candidate.id, usage)
        else:
            study.fail(candidate.id, ended.error, usage)
