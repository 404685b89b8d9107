"""Several workers that evaluate a candidate together: Ray Train's, within one trial of Tune's."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import Any, final

import ray
from ray.exceptions import RayActorError, RayError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2.torch.torch_trainer import TorchTrainer

from phylon.cluster.attempts import Ended, News
from phylon.cluster.executor import Share
from phylon.cluster.location import Location
from phylon.cluster.losses import TeamLost
from phylon.cluster.ray_train import new_trainer
from phylon.cluster.teammate import Arrived, Letter, Teammate, box, desk
from phylon.search.candidate import Candidate, Measurement
from phylon.search.evaluation import Evaluator


@final
class Team:
    """The trial's side: passes candidates on to all workers, and tells what becomes of them.

    Ray Train starts the workers, and joins them. What rank 0 measures counts. An exception in any
    worker ends the candidate and the team, as the others wait for it. All processes of a team end
    with the trial's.

    Args:
        evaluator: What measures candidates.
        study: Where the study is kept.
        mailbox: Carries candidates to the workers, and to the trial what they say.
        share: What each worker holds, and how many they are.
        name: The trial's, by which the mailbox knows it.
        scratch: A folder for Ray Train, where nothing is kept.

    Attributes:
        is_over: Whether the team is of no more use.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        study: Location,
        mailbox: Any,  # noqa: ANN401 - a Ray actor
        share: Share,
        name: str,
        scratch: str,
    ) -> None:
        self.is_over = False
        self._mailbox = mailbox
        self._name = name
        self._size = share.workers
        self._actors: list[Any] = []
        self._open: list[Candidate] = []
        self._ends: dict[int, Ended] = {}
        self._letters: queue.SimpleQueue[Letter | Exception | None] = queue.SimpleQueue()

        def work() -> None:
            Teammate(study, mailbox, share, name).work(evaluator)

        trainer = new_trainer(work, share, name, scratch)
        threading.Thread(target=self._train, args=(trainer,), daemon=True).start()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether the last candidate's last message was taken."""
        return not self._open

    def gather(self) -> tuple[tuple[str, ...], str]:
        """Wait until all workers are there; return their nodes by rank, and the first one's host.

        Raises:
            TeamLost: Some will never be.
        """
        here: dict[int, Arrived] = {}
        while len(here) < self._size:
            letter = self._next()
            if letter is None:
                return (), ""
            rank, arrived = letter
            assert isinstance(arrived, Arrived)
            here[rank] = arrived
        ranked = [here[rank] for rank in range(self._size)]
        self._actors = [each.actor for each in ranked]
        return tuple(each.node for each in ranked), ranked[0].host

    def begin(self, candidates: Sequence[Candidate]) -> None:
        """Have all workers evaluate candidates, one after another."""
        self._open = list(candidates)
        for rank in range(self._size):
            self._mailbox.put.remote(box(self._name, rank), list(candidates))

    def news(self) -> News:
        """Wait for a message that counts; nothing is returned once the team is given up.

        Raises:
            TeamLost: A worker is gone.
        """
        while letter := self._next():
            rank, about = letter
            assert isinstance(about, tuple)
            candidate_id, message = about
            if isinstance(message, Measurement):
                return [(candidate_id, message)]
            if message.error is not None:
                self._call_the_roll()
                self.is_over = True
            else:
                self._ends[rank] = message
                if len(self._ends) < self._size:
                    continue
                message = _together(self._ends)
            self._ends = {}
            self._open = self._open[1:]
            return [(candidate_id, message)]
        return []

    def give_up(self) -> None:
        """Let whoever waits for news go."""
        self._letters.put(None)

    def _next(self) -> Letter | None:
        letter = self._letters.get()
        if isinstance(letter, Exception):
            raise letter
        self.is_over = self.is_over or letter is None
        return letter

    def _call_the_roll(self) -> None:
        """See whether all workers live: when one dies, others raise that they miss it.

        Raises:
            TeamLost: One does not.
        """
        try:
            ray.get([actor.__ray_ready__.remote() for actor in self._actors])
        except RayError as error:
            raise TeamLost(error) from error

    def _listen(self) -> None:
        try:
            while letters := ray.get(self._mailbox.take.remote(desk(self._name))):
                for letter in letters:
                    self._letters.put(letter)
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self._letters.put(error)

    def _train(self, trainer: TorchTrainer) -> None:
        try:
            trainer.fit()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self._letters.put(TeamLost(why_lost(error)))
        else:
            self._letters.put(None)


def _together(ends: dict[int, Ended]) -> Ended:
    """Return the end of a candidate that all workers have measured."""
    told = [each.joules for each in ends.values() if each.joules is not None]
    joules = sum(told) if len(told) == len(ends) else None
    return Ended(ends[0].seconds, peak=max(each.peak for each in ends.values()), joules=joules)


def why_lost(error: Exception) -> Exception:
    """Return why Ray Train gave up: the death of a worker, if it was that."""
    failures = list(error.worker_failures.values()) if isinstance(error, WorkerGroupError) else []
    silent = [it for it in failures if isinstance(it, WorkerHealthCheckFailedError)]
    causes = [it.health_check_failure for it in silent]
    deaths = [cause for cause in causes if isinstance(cause, RayActorError)]
    return [*deaths, error][0]
