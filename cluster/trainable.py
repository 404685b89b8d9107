"""The worker's side of a Tune trial: it measures one candidate after another until told to end."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import Any

import ray
from ray import tune
from ray.tune.result import DONE

from phylon.cluster.attempts import Attempts
from phylon.cluster.executor import Share
from phylon.cluster.location import Location
from phylon.cluster.mirror import Mirror
from phylon.search.candidate import Candidate
from phylon.search.evaluation import Evaluator

NEWS = "news"
SHARE = "share"

_LOOK_S = 1.0
"""How soon a worker without a candidate notices that it has to leave."""


class CandidateTrainable(tune.Trainable):
    """Measures the candidates that the mailbox hands it; none end the trial.

    The first step says that the worker is there. Later ones return messages as they come; after
    the last message of its candidates the next step waits for more of them.

    SIGTERM means that the machine is taken away: the evaluation is asked to write a checkpoint, and
    the trial ends as soon as it has. What it did not measure to the end runs elsewhere.
    """

    def setup(  # type: ignore[override]  # tune.with_parameters adds arguments
        self,
        config: dict[str, Any],
        evaluator: Evaluator,
        mailbox: ray.actor.ActorHandle[Any],
        location: Location,
    ) -> None:
        """Take what the worker needs; Tune hands over the rest, by `tune.with_parameters`."""
        self._share: Share = config[SHARE]
        if not self._share.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._mirror = Mirror(location)
        self._evaluator = self._mirror.around(evaluator)
        self._mailbox: Any = mailbox
        self._attempts: Attempts | None = None
        self._leaves = False
        self._is_known = False
        self._node = (ray.get_runtime_context().get_node_id(), socket.gethostname())
        signal.signal(signal.SIGTERM, lambda *_: self._leave())
        threading.Thread(target=self._give_up_when_told, daemon=True).start()

    def step(self) -> dict[str, Any]:
        """Return what the running candidates reported: ``{"news": (messages, node, host)}``."""
        if not self._is_known:
            self._is_known = True
            return {NEWS: ([], *self._node)}
        if self._attempts is None or self._attempts.ended:
            candidates = self._take()
            if not candidates:
                return {NEWS: ([], *self._node), DONE: True}
            self._attempts = self._begin(candidates)
        news = self._attempts.news()
        return {NEWS: (news, *self._node), DONE: not news}

    def _begin(self, candidates: list[Candidate]) -> Attempts:
        return Attempts(
            self._evaluator,
            candidates,
            self._mirror.folder,
            share=self._share,
            leaving=lambda: self._leaves,
        )

    def _take(self) -> list[Candidate]:
        """Wait for candidates; none if the worker has to leave."""
        coming = self._mailbox.take.remote(self.trial_id)
        while not self._leaves:
            if ray.wait([coming], timeout=_LOOK_S)[0]:
                candidates: list[Candidate] = ray.get(coming)
                return candidates
        return []

    def _leave(self) -> None:
        self._leaves = True

    def _give_up_when_told(self) -> None:
        ray.wait([self._mailbox.closed.remote()])
        if self._attempts:
            self._attempts.give_up()
