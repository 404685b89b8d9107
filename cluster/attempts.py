"""Evaluates candidates one after another in a thread, and passes on what they report meanwhile."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from phylon.cluster.energy import EnergyMeter
from phylon.cluster.executor import Share
from phylon.cluster.location import CANDIDATES
from phylon.cluster.memory import Cap
from phylon.search.candidate import Candidate, Measurement
from phylon.search.errors import EvaluationError, GivenBack, is_out_of_memory
from phylon.search.evaluation import Context, Evaluator, Published, Team

_GATHER_SECONDS = 0.02
_GATHER_MANY_SECONDS = 2.0
ALONE = Team()


@dataclass(frozen=True, slots=True)
class Ended:
    """The last message of a candidate.

    Attributes:
        seconds: Wall-clock seconds of the evaluation.
        error: What was raised, in one line; None if it went through.
        out_of_memory: Whether that was for want of memory.
        peak: Bytes of memory held at most, of the GPU if there is one; 0 if not known.
        joules: Energy that it took; None if the machine does not tell.
    """

    seconds: float
    error: str | None = None
    out_of_memory: bool = False
    peak: int = 0
    joules: float | None = None


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
    meter, cap = EnergyMeter(share, context.device), Cap(share, context.device)

    def report(measurement: Measurement) -> None:
        meter.look()
        context.report(measurement)

    try:
        with cap:
            evaluator.evaluate(candidate, replace(context, report=report))
    except GivenBack:
        raise
    except (Exception, SystemExit) as raised:  # noqa: BLE001 - whatever the user's network does
        is_short = is_out_of_memory(raised)
        error = str(raised) if isinstance(raised, EvaluationError) else _named(raised)
    seconds = time.perf_counter() - begin
    meter.look()
    if is_short or cap.is_planned:
        cap.tidy()
    return Ended(seconds, error, is_short, cap.peak, meter.joules)


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


class Attempts:
    """Evaluates a few candidates in the background.

    Args:
        evaluator: What measures them.
        candidates: What is measured, one after another; at least one.
        share: What each holds meanwhile.
        study: What each is lent, but for its own folder and report: the folder is the study's.
        publish: Passes on the weights of a candidate, by its id.

    Attributes:
        is_over: Whether there will be no more news of them, and the worker has to go.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        candidates: Sequence[Candidate],
        *,
        share: Share,
        study: Context,
        publish: Callable[[int], None],
    ) -> None:
        self._evaluator = evaluator
        self._open = len(candidates)
        self._share = share
        self._study = study
        self._publish = publish
        self.is_over = False
        self._news: queue.SimpleQueue[tuple[int, Message] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(candidates,), daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether the last candidate's last message was taken."""
        return self._open == 0

    def news(self) -> News:
        """Wait for a message; return it with those that follow within a fiftieth of a second.

        While others of several candidates go on it may take two seconds: nobody waits for the news.
        Nothing is returned once they are given up.
        """
        news = [] if self.is_over else self._take(None)
        begin = time.monotonic()
        while not (self.ended or self.is_over):
            left = begin + self._patience - time.monotonic()
            if left <= 0:
                break
            try:
                news += self._take(left)
            except queue.Empty:
                break
        return news

    @property
    def _patience(self) -> float:
        return _GATHER_MANY_SECONDS if self._open > 1 else _GATHER_SECONDS

    def give_up(self) -> None:
        """Let whoever waits for news go; the evaluation dies with its process."""
        self._news.put(None)

    def _take(self, timeout: float | None) -> News:
        message = self._news.get(timeout=timeout)
        if message is None:
            self.is_over = True
            return []
        self._open -= isinstance(message[1], Ended)
        return [message]

    def _run(self, candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            if self._study.leaving():
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

        return own(self._study, candidate, report, self._publish)


def own(
    study: Context,
    candidate: Candidate,
    report: Callable[[Measurement], None],
    publish: Callable[[int], None],
) -> Context:
    """Return a candidate's own context, from that which all candidates of the study are lent."""
    folder = candidate_folder(study.folder, candidate.id)
    return replace(study, folder=folder, report=report, publish=lambda: publish(candidate.id))


def lent(
    folder: Path,
    share: Share,
    weights: Callable[[int], Published],
    leaving: Callable[[], bool],
    team: Team = ALONE,
) -> Context:
    """Return what a worker lends to all candidates of a study, whose folder is given."""
    return Context(
        folder,
        _unheard,
        max(1, int(share.cpus)),
        "cuda" if share.gpus else "cpu",
        leaving,
        weights,
        team,
    )


def _unheard(measurement: Measurement) -> None:
    """Tell nobody."""


def candidate_folder(study_folder: Path, candidate_id: int) -> Path:
    """Return where a candidate keeps its checkpoints and weights."""
    return study_folder / CANDIDATES / str(candidate_id)
