"""Evaluates candidates one after another in a thread, and passes on what they report meanwhile."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from phylon.cluster.executor import Share
from phylon.cluster.location import CANDIDATES
from phylon.cluster.memory import Cap
from phylon.search.candidate import Candidate, Measurement
from phylon.search.errors import EvaluationError, GivenBack, is_out_of_memory
from phylon.search.evaluation import Context, Evaluator

_GATHER_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Ended:
    """The last message of a candidate.

    Attributes:
        seconds: Wall-clock seconds of the evaluation.
        error: What was raised, in one line; None if it went through.
        out_of_memory: Whether that was for want of memory.
        peak: Bytes of memory held at most, of the GPU if there is one; 0 if not known.
    """

    seconds: float
    error: str | None = None
    out_of_memory: bool = False
    peak: int = 0


Message = Measurement | Ended
News = list[tuple[int, Message]]
"""Messages with the id of the candidate that each is about."""


def evaluate(evaluator: Evaluator, candidate: Candidate, context: Context, share: Share) -> Ended:
    """Evaluate a candidate within its share of memory; an exception is its result, not ours.

    Raises:
        GivenBack: The evaluation stopped, as it was asked to.
    """
    begin = time.perf_counter()
    error, is_short = None, False
    cap = Cap(share, context.device)
    try:
        with cap:
            evaluator.evaluate(candidate, context)
    except GivenBack:
        raise
    except (Exception, SystemExit) as raised:  # noqa: BLE001 - whatever the user's network does
        is_short = is_out_of_memory(raised)
        error = str(raised) if isinstance(raised, EvaluationError) else _named(raised)
    seconds = time.perf_counter() - begin
    if is_short or cap.is_planned:
        cap.tidy()
    return Ended(seconds, error, is_short, cap.peak)


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


class Attempts:
    """Evaluates a few candidates in the background.

    Args:
        evaluator: What measures them.
        candidates: What is measured, one after another; at least one.
        folder: The study's folder.
        share: What each holds meanwhile.
        leaving: Tells whether to stop soon: the next candidates are not begun.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        candidates: Sequence[Candidate],
        folder: Path,
        *,
        share: Share,
        leaving: Callable[[], bool],
    ) -> None:
        self._evaluator = evaluator
        self._open = len(candidates)
        self._folder = folder
        self._share = share
        self._leaving = leaving
        self._given_up = False
        self._news: queue.SimpleQueue[tuple[int, Message] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(candidates,), daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether the last candidate's last message was taken."""
        return self._open == 0

    def news(self) -> News:
        """Wait for a message; return it with those that follow within a fiftieth of a second.

        Nothing is returned once they are given up.
        """
        news = [] if self._given_up else self._take(None)
        deadline = time.monotonic() + _GATHER_SECONDS
        while not (self.ended or self._given_up) and (left := deadline - time.monotonic()) > 0:
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
            self._given_up = True
            return []
        self._open -= isinstance(message[1], Ended)
        return [message]

    def _run(self, candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            if self._leaving():
                break
            try:
                ended = evaluate(self._evaluator, candidate, self._lend(candidate), self._share)
            except GivenBack:
                break
            self._news.put((candidate.id, ended))
        else:
            return
        self.give_up()

    def _lend(self, candidate: Candidate) -> Context:
        def report(measurement: Measurement) -> None:
            self._news.put((candidate.id, measurement))

        return Context(
            candidate_folder(self._folder, candidate.id),
            report,
            max(1, int(self._share.cpus)),
            "cuda" if self._share.gpus else "cpu",
            self._leaving,
        )


def candidate_folder(study_folder: Path, candidate_id: int) -> Path:
    """Return where a candidate keeps its checkpoints and weights."""
    return study_folder / CANDIDATES / str(candidate_id)
