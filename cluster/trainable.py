"""The worker's side of a Tune trial: it measures one candidate after another until told to end."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.result import DONE

from phylon.cluster.attempts import Attempts
from phylon.search.candidate import Candidate
from phylon.search.evaluation import Evaluator

NEWS = "news"
CANDIDATE = "candidate"


class CandidateTrainable(tune.Trainable):
    """Measures the candidate of its config, then those that the mailbox hands it.

    A step returns messages as they come. After the last message of its candidates the next step
    waits for more of them; none end the trial.
    """

    def setup(
        self,
        config: dict[str, Any],
        evaluator: Evaluator,
        mailbox: ray.actor.ActorHandle[Any],
        folder: str,
        resources: dict[str, float],
    ) -> None:
        """Begin with the first candidate."""
        if not resources["gpus"]:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._evaluator = evaluator
        self._mailbox = mailbox
        self._folder = Path(folder)
        self._threads = max(1, int(resources["cpus"]))
        self._device = "cuda" if resources["gpus"] else "cpu"
        node = ray.get_runtime_context().get_node_id()
        self._node = f"{socket.gethostname()}/{node[:8]}"
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Serve another trial with the same process: Tune's way to reuse an actor."""
        self._begin([Candidate.from_json(new_config[CANDIDATE])])
        return True

    def step(self) -> dict[str, Any]:
        """Return what the running candidates reported: ``{"news": (messages, node)}``."""
        if self._attempts.ended:
            candidates = ray.get(self._mailbox.take.remote(self.trial_id))
            if not candidates:
                return {DONE: True}
            self._begin(candidates)
        return {NEWS: (self._attempts.news(), self._node)}

    def _begin(self, candidates: Sequence[Candidate]) -> None:
        self._attempts = Attempts(
            self._evaluator, candidates, self._folder, threads=self._threads, device=self._device
        )
