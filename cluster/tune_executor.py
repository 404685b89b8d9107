"""Runs candidates on Ray, by trials of Ray Tune that serve many of them each."""

from __future__ import annotations

import copy
import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import ray
from ray import tune
from ray.exceptions import RayActorError

from phylon.cluster.bridge import Bridge
from phylon.cluster.capacity import check_share, count_slots, living_nodes, ray_bundle
from phylon.cluster.executor import Driven, Share, Shares
from phylon.cluster.fairness import UNLIMITED, Quota
from phylon.cluster.hooks import Listener, StopWith, Suggester
from phylon.cluster.location import Location
from phylon.cluster.losses import surviving_memory_kills
from phylon.cluster.mailbox import start_mailbox
from phylon.cluster.trainable import SHARE, CandidateTrainable
from phylon.search.evaluation import Evaluator

T = TypeVar("T")

_TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the journal is the log
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the study decides how it is stopped
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # the journal is the snapshot
    "TUNE_MAX_PENDING_TRIALS_PG": str(UNLIMITED),  # the bridge knows how many have room
    "RAY_AIR_NEW_OUTPUT": "0",
}


class TuneExecutor:
    """Candidates on the connected Ray cluster, each with its share of it.

    The cluster may grow and shrink meanwhile, and others may use it too.

    Args:
        location: Where the study lives; every node must see it.
        shares: What each candidate holds.
        slots: At most so many candidates at once; None for as many as the cluster has room for.

    Raises:
        ConfigurationError: No node can ever run a single candidate.
    """

    def __init__(self, location: Location, shares: Shares, *, slots: int | None = None) -> None:
        self._location = location
        self._shares = shares
        self._quota = Quota(str(location), slots)
        self._most = slots or UNLIMITED
        nodes = living_nodes()
        for section, share in shares.kinds.items():
            check_share(nodes, share, section)

    @property
    def slots(self) -> int:
        """How many candidates could run at the same time now, were this study alone."""
        return min(count_slots(living_nodes(), self._shares.least), self._most)

    @property
    def words(self) -> str:
        """What there is to say about the cluster, for the progress line."""
        return self._quota.words

    def run(self, study: Driven, evaluator: Evaluator) -> None:
        """Evaluate what `study` proposes until it is finished or stopping.

        Raises:
            Exception: Whatever the study raised while it took a result, e.g. a full storage.
            ClusterError: No worker can be started.
        """
        os.environ.update(_TUNE_SETTINGS)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the study says what failed
        mailbox = start_mailbox()
        # What untrained networks need, which are scored first, is no lesson for their training.
        shares = copy.deepcopy(self._shares)
        bridge = Bridge(study, mailbox, shares, self._quota)
        try:
            with (
                tempfile.TemporaryDirectory(prefix="phylon-") as scratch,
                surviving_memory_kills(),
            ):
                self._tuner(bridge, mailbox, evaluator, scratch).fit()
        finally:
            self._quota.leave()
            with suppress(RayActorError):
                ray.get(mailbox.close.remote())
            ray.kill(mailbox)
        if bridge.error:
            raise bridge.error
        study.flush()

    def call(self, function: Callable[[], T]) -> T:
        """Run one function on the cluster with the resources of a candidate that is trained."""

        def task() -> T:
            return function()

        bundle = ray_bundle(self._shares.kinds["resources"])
        remote = ray.remote(task).options(
            num_cpus=bundle["CPU"], num_gpus=bundle["GPU"], max_retries=2
        )
        result: T = ray.get(remote.remote())
        return result

    def _tuner(
        self,
        bridge: Bridge,
        mailbox: ray.actor.ActorHandle[Any],
        evaluator: Evaluator,
        scratch: str,
    ) -> tune.Tuner:
        trainable = tune.with_parameters(
            CandidateTrainable, evaluator=evaluator, mailbox=mailbox, location=self._location
        )
        return tune.Tuner(
            tune.with_resources(trainable, _resources),
            tune_config=tune.TuneConfig(
                search_alg=Suggester(bridge),
                num_samples=-1,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                storage_path=scratch,
                name="trials",
                callbacks=[Listener(bridge)],
                stop=StopWith(bridge),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )


def _resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    """Return what a trial's worker holds; next to nothing if it speaks for a team."""
    share: Share = config[SHARE]
    bundle = dict(ray_bundle(share)) if share.workers == 1 else {"memory": 1.0}
    return tune.PlacementGroupFactory([bundle])
