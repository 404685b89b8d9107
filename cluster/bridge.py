"""Between a study and Ray Tune: three thin adapters that only delegate to it."""

from __future__ import annotations

import itertools
import statistics
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search import Searcher
from typing_extensions import override

from phylon.cluster.attempts import Ended, News
from phylon.cluster.executor import Driven, Share, Usage
from phylon.cluster.trainable import CANDIDATE, NEWS
from phylon.search.candidate import Candidate

T = TypeVar("T")
FINISHED = Searcher.FINISHED

STREAM_BELOW_SECONDS = 10.0
"""Evaluations shorter than this are streamed through running trials: a trial costs up to 0.1 s."""

BATCH_SECONDS = 0.02
MAX_BATCH = 8
"""Evaluations of milliseconds go to a worker a few at a time: a result costs Tune about 5 ms."""


class Bridge:
    """What the three adapters share: the study, and which trial runs which candidates.

    No exception may leave a Tune hook, it would end the experiment without a word: the first one is
    kept here and ends it in order.

    Args:
        study: Proposes candidates and takes results.
        mailbox: Hands candidates to running trials.
        share: What each candidate holds.
    """

    def __init__(self, study: Driven, mailbox: ray.actor.ActorHandle[Any], share: Share) -> None:
        self.error: Exception | None = None
        self._study = study
        self._mailbox = mailbox
        self._share = share
        self._running: dict[str, list[int]] = {}
        self._started: set[str] = set()
        self._idle: deque[str] = deque()
        self._seconds: deque[float] = deque(maxlen=9)

    @property
    def stopping(self) -> bool:
        """Whether the experiment is to end before the study does."""
        return self.error is not None or self._study.stopping

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its parts for a restore that is never asked for.

    def should_stop(self) -> bool:
        """Return whether the experiment is to end now; workers are told so."""
        if self.stopping:
            self._mailbox.close.remote()
        return self.stopping

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the config of a new trial, None for none now, or FINISHED."""
        if self.stopping or self._study.finished:
            return FINISHED
        self._guard(self._serve_idle)
        candidate = self._guard(self._study.propose)
        self._guard(self._study.flush)
        if candidate is None or self.error:
            return FINISHED if self._study.finished or self.error else None
        self._running[trial_id] = [candidate.id]
        self._guard(self._serve_idle)
        return {CANDIDATE: candidate.to_json()}

    def start(self, trial_id: str) -> None:
        """Note that a trial has a worker."""
        self._started.add(trial_id)

    def take_news(self, trial_id: str, news: News, node: str) -> None:
        """Hand a trial's messages to the study, and idle trials their next candidates."""
        self._guard(lambda: self._take_news(trial_id, news, node))

    def lose(self, trial_id: str, error_file: str | None) -> None:
        """Tell the study that the trial's worker is gone, and never serve that trial again."""
        running = self._running.pop(trial_id, None)
        self._started.discard(trial_id)
        if trial_id in self._idle:
            self._idle.remove(trial_id)
        if running and not self.stopping:
            self._guard(lambda: self._study.lose(running[0], running[1:], _why(error_file)))
            self._guard(self._serve_idle)

    def _take_news(self, trial_id: str, news: News, node: str) -> None:
        self._started.add(trial_id)
        for candidate_id, message in news:
            if isinstance(message, Ended):
                self._running[trial_id].remove(candidate_id)
                self._end(candidate_id, message, node)
            else:
                self._study.observe(candidate_id, message)
        if not self._running[trial_id]:
            del self._running[trial_id]
            self._idle.append(trial_id)
        self._serve_idle()

    def _end(self, candidate_id: int, message: Ended, node: str) -> None:
        usage = Usage(message.seconds, self._share, node)
        if message.error is None:
            self._seconds.append(message.seconds)
            self._study.complete(candidate_id, usage)
        else:
            self._study.fail(candidate_id, message.error, usage)

    def _serve_idle(self) -> None:
        """Hand work to trials without any; end those that should make room for others.

        A trial that has a candidate but no worker yet may be waiting for the room of an idle one.
        """
        while self._idle:
            candidates = self._next_candidates()
            self._study.flush()
            all_started = self._running.keys() <= self._started
            may_wait = self._is_streaming and all_started and not self._study.finished
            if may_wait and not candidates:
                return
            trial_id = self._idle.popleft()
            if candidates:
                self._running[trial_id] = [candidate.id for candidate in candidates]
            else:
                self._started.discard(trial_id)
            self._mailbox.put.remote(trial_id, candidates)

    @property
    def _is_streaming(self) -> bool:
        return bool(self._seconds) and statistics.median(self._seconds) < STREAM_BELOW_SECONDS

    def _next_candidates(self) -> list[Candidate]:
        if not self._is_streaming:
            return []
        slowest = max(*self._seconds, BATCH_SECONDS / MAX_BATCH)
        most = max(int(BATCH_SECONDS / slowest), 1)
        return list(itertools.islice(iter(self._study.propose, None), most))

    def _guard(self, call: Callable[[], T]) -> T | None:
        if self.error:
            return None
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - raised again when Tune has ended
            self.error = error
            return None


class Suggester(Searcher):
    """Tune asks for a trial: the study proposes."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    @override
    def suggest(self, trial_id: str) -> Any:
        return self._bridge.suggest(trial_id)

    @override
    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: results go through the listener, which also hears of those that end a trial."""

    @override
    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the memory."""

    @override
    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the memory."""


class Listener(tune.Callback):
    """Tune has a result or an error: the study takes it."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @override
    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        self._bridge.start(trial.trial_id)

    @override
    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: object,
    ) -> None:
        if NEWS in result:
            self._bridge.take_news(trial.trial_id, *result.pop(NEWS))

    @override
    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        self._bridge.lose(trial.trial_id, trial.error_file)


def _why(error_file: str | None) -> str:
    """Return why a trial ended: what was raised outside the evaluation, or that its worker died."""
    report = Path(error_file).read_text() if error_file else ""
    was_raised = "creation task" in report or "RayTaskError" in report
    return report.strip().splitlines()[-1] if was_raised else "its worker died"


class StopWith(tune.Stopper):
    """Tune asks after every step whether to go on."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @override
    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    @override
    def stop_all(self) -> bool:
        return self._bridge.should_stop()
