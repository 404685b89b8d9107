"""The worker's side of a Tune trial: it measures one candidate after another until told to end."""

from __future__ import annotations

import os
import socket
import threading
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

    def setup(  # type: ignore[override]  # tune.with_parameters adds arguments
        self,
        config: dict[str, Any],
        evaluator: Evaluator,
        mailbox: ray.actor.ActorHandle[Any],
        folder: str,
        resources: dict[str, float],
    ) -> None:
        """Take what the worker needs; Tune hands over the rest, by `tune.with_parameters`."""
        if not resources["gpus"]:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._evaluator = evaluator
        self._mailbox: Any = mailbox
        self._folder = Path(folder)
        self._threads = max(1, int(resources["cpus"]))
        self._device = "cuda" if resources["gpus"] else "cpu"
        node = ray.get_runtime_context().get_node_id()
        self._node = f"{socket.gethostname()}/{node[:8]}"
        self.reset_config(config)
        threading.Thread(target=self._give_up_when_told, daemon=True).start()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Serve another trial with the same process: Tune's way to reuse an actor.

        Its candidate begins with the first step, not here: Tune may start an actor for a trial and
        then give the trial to another one.
        """
        self._next = [Candidate.from_json(new_config[CANDIDATE])]
        self._attempts: Attempts | None = None
        return True

    def step(self) -> dict[str, Any]:
        """Return what the running candidates reported: ``{"news": (messages, node)}``."""
        if self._attempts is None or self._attempts.ended:
            candidates = self._next or ray.get(self._mailbox.take.remote(self.trial_id))
            if not candidates:
                return {DONE: True}
            self._next = []
            self._attempts = Attempts(
                self._evaluator,
                candidates,
                self._folder,
                threads=self._threads,
                device=self._device,
            )
        return {NEWS: (self._attempts.news(), self._node)}

    def _give_up_when_told(self) -> None:
        ray.wait([self._mailbox.closed.remote()])
        if self._attempts:
            self._attempts.give_up()
