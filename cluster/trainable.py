"""The worker's side of a Tune trial: it measures one candidate after another until told to end."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.result import DONE

from phylon.cluster.attempts import Attempts, News, lent
from phylon.cluster.executor import Share
from phylon.cluster.location import Location
from phylon.cluster.mirror import Mirror
from phylon.cluster.weights import borrower, publisher
from phylon.search.candidate import Candidate
from phylon.search.evaluation import Evaluator

if TYPE_CHECKING:
    from phylon.cluster.team import Team

NEWS = "news"
SHARE = "share"

_LOOK_S = 1.0
"""How soon a worker without a candidate notices that it has to leave."""


class CandidateTrainable(tune.Trainable):
    """Measures the candidates that the mailbox hands it; none end the trial.

    The first step says that the worker is there. Later ones return messages as they come; after
    the last message of its candidates the next step waits for more of them. Where several workers
    evaluate a candidate together, the trial speaks for the team, and holds nothing itself.

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
        self._mailbox: Any = mailbox
        self._attempts: Attempts | Team | None = None
        self._team: Team | None = None
        self._leaves = False
        self._nodes: tuple[str, ...] = ()
        self._host = socket.gethostname()
        if self._share.workers > 1:
            from phylon.cluster.team import Team

            self._team = self._attempts = Team(
                evaluator, location, mailbox, self._share, self.trial_id, self.logdir
            )
        self._evaluator = self._mirror.around(evaluator)
        self._publish = publisher(mailbox, Location(self._mirror.folder))
        self._context = lent(
            self._mirror.folder, self._share, borrower(mailbox, location), lambda: self._leaves
        )
        signal.signal(signal.SIGTERM, lambda *_: self._leave())
        threading.Thread(target=self._give_up_when_told, daemon=True).start()

    def step(self) -> dict[str, Any]:
        """Return what the candidates reported: ``{"news": (messages, nodes, host)}``."""
        if not self._nodes:
            self._nodes = (ray.get_runtime_context().get_node_id(),)
            if self._team:
                self._nodes, self._host = self._team.gather()
            return self._result([], done=not self._nodes)
        if self._attempts is None or self._attempts.ended:
            candidates = self._take()
            if not candidates:
                return self._result([], done=True)
            self._attempts = self._begin(candidates)
        news = self._attempts.news()
        return self._result(news, done=self._attempts.is_over)

    def _result(self, news: News, *, done: bool) -> dict[str, Any]:
        return {NEWS: (news, self._nodes, self._host), DONE: done}

    def _begin(self, candidates: list[Candidate]) -> Attempts | Team:
        if self._team:
            self._team.begin(candidates)
            return self._team
        return Attempts(
            self._evaluator,
            candidates,
            share=self._share,
            study=self._context,
            publish=self._publish,
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
