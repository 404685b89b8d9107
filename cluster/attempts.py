"""Evaluates candidates one after another in a thread, and passes on what they report meanwhile."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phylon.search.candidate import Candidate, Measurement
from phylon.search.errors import EvaluationError
from phylon.search.evaluation import Context, Evaluator

_GATHER_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Ended:
    """The last message of a candidate.

    Attributes:
        seconds: Wall-clock seconds of the evaluation.
        error: What was raised, in one line; None if it went through.
    """

    seconds: float
    error: str | None = None


Message = Measurement | Ended
News = list[tuple[int, Message]]
"""Messages with the id of the candidate that each is about."""


def evaluate(evaluator: Evaluator, candidate: Candidate, context: Context) -> Ended:
    """Evaluate a candidate; an exception is its result, not ours."""
    begin = time.perf_counter()
    error = None
    try:
        evaluator.evaluate(candidate, context)
    except EvaluationError as raised:
        error = str(raised)
    except Exception as raised:  # noqa: BLE001 - whatever the user's network does
        error = f"{type(raised).__name__}: {raised}"
    return Ended(time.perf_counter() - begin, error)


class Attempts:
    """Evaluates a few candidates in the background.

    Args:
        evaluator: What measures them.
        candidates: What is measured, one after another; at least one.
        folder: The study's folder.
        threads: CPU threads each may use.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        candidates: Sequence[Candidate],
        folder: Path,
        *,
        threads: int,
        device: str,
    ) -> None:
        self._evaluator = evaluator
        self._open = len(candidates)
        self._folder = folder
        self._threads = threads
        self._device = device
        self._news: queue.SimpleQueue[tuple[int, Message] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(candidates,), daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether the last candidate's last message was taken."""
        return self._open == 0

    def news(self) -> News:
        """Wait for a message; return it with those that follow within a fiftieth of a second.

        Nothing is returned after `give_up`.
        """
        news = self._take(None)
        deadline = time.monotonic() + _GATHER_SECONDS
        while news and not self.ended and (left := deadline - time.monotonic()) > 0:
            try:
                news += self._take(left)
            except queue.Empty:
                break
        return news

    def give_up(self) -> None:
        """Let whoever waits for news go; the evaluation dies with its process."""
        self._news.put(None)

    def _take(self, timeout: float | None) -> News:
        message = self._news.get(timeout=timeout)
        if message is None:
            return []
        self._open -= isinstance(message[1], Ended)
        return [message]

    def _run(self, candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            self._news.put(
                (candidate.id, evaluate(self._evaluator, candidate, self._lend(candidate)))
            )

    def _lend(self, candidate: Candidate) -> Context:
        def report(measurement: Measurement) -> None:
            self._news.put((candidate.id, measurement))

        return Context(
            candidate_folder(self._folder, candidate.id), report, self._threads, self._device
        )


def candidate_folder(study_folder: Path, candidate_id: int) -> Path:
    """Return where a candidate keeps its checkpoints and weights."""
    return study_folder / "candidates" / str(candidate_id)
