"""Runs candidates as Ray Tune trials: three thin adapters around the study."""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from phylon.cluster.attempts import Ended, News
from phylon.cluster.connect import count_slots
from phylon.cluster.executor import Driven, Usage
from phylon.cluster.mailbox import Mailbox
from phylon.cluster.trainable import CANDIDATE, NEWS, CandidateTrainable
from phylon.search.candidate import Candidate
from phylon.search.evaluation import Evaluator

T = TypeVar("T")
FINISHED = Searcher.FINISHED

STREAM_BELOW_SECONDS = 10.0
"""Evaluations shorter than this are streamed through running trials: a trial costs up to 0.1 s."""

BATCH_SECONDS = 0.02
MAX_BATCH = 8
"""Evaluations of milliseconds go to a worker a few at a time: a result costs Tune about 5 ms."""

_TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the journal is the log
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the study decides how it is stopped
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # the journal is the snapshot
    "RAY_AIR_NEW_OUTPUT": "0",
}


class TuneExecutor:
    """Candidates as Tune trials on the connected Ray cluster, each with its share of it.

    Args:
        folder: The study's folder, on storage that every node sees.
        resources: ``cpus`` and ``gpus`` of one candidate; fractions allowed.

    Raises:
        ConfigurationError: The cluster cannot run a single candidate.
    """

    def __init__(self, folder: Path, resources: Mapping[str, float]) -> None:
        self._folder = folder
        self._resources = dict(resources)
        self.slots = count_slots(resources)

    def run(self, study: Driven, evaluator: Evaluator) -> None:
        """Evaluate what `study` proposes until it is finished or stopping.

        Raises:
            Exception: Whatever the study raised while it took a result, e.g. a full storage.
        """
        os.environ.update(_TUNE_SETTINGS)
        scratch = self._folder / "tune"
        mailbox = Mailbox.remote()
        bridge = _Bridge(study, mailbox, self._resources)
        trainable = tune.with_parameters(
            CandidateTrainable,
            evaluator=evaluator,
            mailbox=mailbox,
            folder=str(self._folder),
            resources=self._resources,
        )
        bundle = {"CPU": self._resources["cpus"], "GPU": self._resources["gpus"]}
        tuner = tune.Tuner(
            tune.with_resources(trainable, bundle),
            tune_config=tune.TuneConfig(
                search_alg=_Suggester(bridge),
                num_samples=-1,
                max_concurrent_trials=self.slots,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                storage_path=str(scratch),
                name="trials",
                callbacks=[_Listener(bridge)],
                stop=_StopWith(bridge),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        finally:
            ray.kill(mailbox)
            shutil.rmtree(scratch, ignore_errors=True)
        if bridge.error:
            raise bridge.error

    def call(self, function: Callable[[], T]) -> T:
        """Run one function on the cluster with the resources of a candidate."""
        task = ray.remote(
            num_cpus=self._resources["cpus"], num_gpus=self._resources["gpus"], max_retries=2
        )(function)
        result: T = ray.get(task.remote())
        return result


class _Bridge:
    """What the three adapters share: the study, and which trial runs which candidates.

    No exception may leave a Tune hook, it would end the experiment without a word: the first one is
    kept here and ends it in order.
    """

    def __init__(
        self, study: Driven, mailbox: ray.actor.ActorHandle[Any], resources: dict[str, float]
    ) -> None:
        self.error: Exception | None = None
        self._study = study
        self._mailbox = mailbox
        self._resources = resources
        self._running: dict[str, list[int]] = {}
        self._idle: deque[str] = deque()
        self._seconds: deque[float] = deque(maxlen=9)

    @property
    def stopping(self) -> bool:
        return self.error is not None or self._study.stopping

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the config of a new trial, None for none now, or FINISHED."""
        if self.stopping or self._study.finished:
            return FINISHED
        candidate = self._guard(self._study.propose)
        if candidate is None:
            return None
        self._running[trial_id] = [candidate.id]
        return {CANDIDATE: candidate.to_json()}

    def take_news(self, trial_id: str, news: News, node: str) -> None:
        """Hand a trial's messages to the study, and idle trials their next candidates."""
        self._guard(lambda: self._take_news(trial_id, news, node))

    def lose(self, trial_id: str) -> None:
        """Tell the study that the trial's worker is gone."""
        running = self._running.pop(trial_id, None)
        if running and not self.stopping:
            self._guard(lambda: self._study.lose(running[0], running[1:]))

    def _take_news(self, trial_id: str, news: News, node: str) -> None:
        for candidate_id, message in news:
            if isinstance(message, Ended):
                self._running[trial_id].remove(candidate_id)
                self._end(candidate_id, message, node)
            else:
                self._study.observe(candidate_id, message)
        if not self._running[trial_id]:
            self._idle.append(trial_id)
        self._serve_idle()

    def _end(self, candidate_id: int, message: Ended, node: str) -> None:
        self._seconds.append(message.seconds)
        usage = Usage(message.seconds, self._resources, node)
        if message.error is None:
            self._study.complete(candidate_id, usage)
        else:
            self._study.fail(candidate_id, message.error, usage)

    def _serve_idle(self) -> None:
        """Hand work to trials without any; end those that more trials should replace."""
        while self._idle:
            candidates = self._next_candidates()
            if not candidates and self._is_streaming and not self._study.finished:
                return
            trial_id = self._idle.popleft()
            self._running[trial_id] = [candidate.id for candidate in candidates]
            self._mailbox.put.remote(trial_id, candidates)

    @property
    def _is_streaming(self) -> bool:
        return bool(self._seconds) and statistics.median(self._seconds) < STREAM_BELOW_SECONDS

    def _next_candidates(self) -> list[Candidate]:
        if not self._is_streaming:
            return []
        seconds = max(statistics.median(self._seconds), 1e-6)
        most = int(min(max(BATCH_SECONDS / seconds, 1), MAX_BATCH))
        return list(itertools.islice(iter(self._study.propose, None), most))

    def _guard(self, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - raised again when Tune has ended
            self.error = self.error or error
            return None


class _Suggester(Searcher):
    """Tune asks for a trial: the study proposes."""

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def suggest(self, trial_id: str) -> Any:  # noqa: ANN401 - Tune's own signature
        return self._bridge.suggest(trial_id)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: results go through the listener, which also hears of those that end a trial."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the memory."""


class _Listener(tune.Callback):
    """Tune has a result or an error: the study takes it."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge

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

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        self._bridge.lose(trial.trial_id)


class _StopWith(tune.Stopper):
    """Tune asks after every step whether to go on."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._bridge.stopping
