"""Runs candidates as Ray Tune trials."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import tune

from phylon.cluster.bridge import Bridge, Listener, StopWith, Suggester
from phylon.cluster.connect import count_slots, ray_bundle
from phylon.cluster.executor import Driven, Share
from phylon.cluster.mailbox import start_mailbox
from phylon.cluster.trainable import CandidateTrainable
from phylon.search.evaluation import Evaluator

T = TypeVar("T")

SCRATCH = "tune"

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
        self._bundle = ray_bundle(resources)
        self.slots = count_slots(self._bundle)

    def run(self, study: Driven, evaluator: Evaluator) -> None:
        """Evaluate what `study` proposes until it is finished or stopping.

        Raises:
            Exception: Whatever the study raised while it took a result, e.g. a full storage.
        """
        os.environ.update(_TUNE_SETTINGS)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the study says what failed
        mailbox = start_mailbox()
        bridge = Bridge(study, mailbox, Share(self._resources["cpus"], self._resources["gpus"]))
        try:
            self._tuner(bridge, mailbox, evaluator).fit()
        finally:
            ray.kill(mailbox)
            shutil.rmtree(self._folder / SCRATCH, ignore_errors=True)
        if bridge.error:
            raise bridge.error

    def call(self, function: Callable[[], T]) -> T:
        """Run one function on the cluster with the resources of a candidate."""

        def task() -> T:
            return function()

        remote = ray.remote(task).options(
            num_cpus=self._bundle["CPU"], num_gpus=self._bundle["GPU"], max_retries=2
        )
        result: T = ray.get(remote.remote())
        return result

    def _tuner(
        self, bridge: Bridge, mailbox: ray.actor.ActorHandle[Any], evaluator: Evaluator
    ) -> tune.Tuner:
        trainable = tune.with_parameters(
            CandidateTrainable,
            evaluator=evaluator,
            mailbox=mailbox,
            folder=str(self._folder),
            resources=self._resources,
        )
        return tune.Tuner(
            tune.with_resources(trainable, self._bundle),
            tune_config=tune.TuneConfig(
                search_alg=Suggester(bridge),
                num_samples=-1,
                max_concurrent_trials=self.slots,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                storage_path=str(self._folder / SCRATCH),
                name="trials",
                callbacks=[Listener(bridge)],
                stop=StopWith(bridge),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
