"""What Ray Tune calls while it runs: three thin adapters that only delegate to the bridge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray import cloudpickle, tune
from ray.tune.experiment import Trial
from ray.tune.result import DONE
from ray.tune.search import Searcher
from typing_extensions import override

from phylon.cluster.bridge import Bridge
from phylon.cluster.trainable import NEWS


class Suggester(Searcher):
    """Tune asks for a trial: the bridge for a worker."""

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
    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: object,
    ) -> None:
        if NEWS in result:
            self._bridge.take_news(trial.trial_id, *result.pop(NEWS), last=result[DONE])

    @override
    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        self._bridge.lose(trial.trial_id, _error_of(trial))


def _error_of(trial: Trial) -> Exception | None:
    """Return what Ray raised; `Trial.get_pickled_error` finds it only after the experiment."""
    if not trial.pickled_error_file:
        return None
    error: Exception = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    return error


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
