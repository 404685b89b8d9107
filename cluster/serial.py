"""Runs candidates one after another in this process: for tests, tables and debugging."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from phylon.cluster.attempts import candidate_folder, evaluate
from phylon.cluster.executor import Driven, Usage
from phylon.search.candidate import Candidate
from phylon.search.evaluation import Context, Evaluator

T = TypeVar("T")


class SerialExecutor:
    """One slot, in-process. A stop is noticed between two candidates and between two measurements.

    Args:
        folder: The study's folder.
    """

    slots = 1

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, study: Driven, evaluator: Evaluator) -> None:
        """Evaluate what `study` proposes until it is finished or stopping."""
        while not study.stopping and (candidate := study.propose()):
            self._evaluate(study, evaluator, candidate)

    def call(self, function: Callable[[], T]) -> T:
        """Run one function and return its result."""
        return function()

    def _evaluate(self, study: Driven, evaluator: Evaluator, candidate: Candidate) -> None:
        folder = candidate_folder(self._folder, candidate.id)
        context = Context(folder, lambda measurement: study.observe(candidate.id, measurement))
        ended = evaluate(evaluator, candidate, context)
        usage = Usage(ended.seconds, {"cpus": 1.0, "gpus": 0.0}, socket.gethostname())
        if ended.error is None:
            study.complete(candidate.id, usage)
        else:
            study.fail(candidate.id, ended.error, usage)
