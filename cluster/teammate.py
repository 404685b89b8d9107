"""What each worker of a team does: evaluates what the trial passes on, in step with the others."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
from ray.util import get_current_placement_group

from phylon.cluster import attempts
from phylon.cluster.attempts import Message
from phylon.cluster.executor import Share
from phylon.cluster.location import Location
from phylon.cluster.mirror import Mirror
from phylon.cluster.patience import never
from phylon.cluster.weights import borrower, publisher
from phylon.search.candidate import Candidate, Measurement
from phylon.search.errors import GivenBack
from phylon.search.evaluation import Context, Evaluator, Team


@dataclass(frozen=True, slots=True)
class Arrived:
    """What a worker says when it is there.

    Attributes:
        actor: The process.
        node: Id of its node.
        host: Name of its node.
    """

    actor: Any
    node: str
    host: str


Letter = tuple[int, Arrived | tuple[int, Message]]
"""What a worker says, after its rank; of a candidate with the candidate's id."""


def desk(team: str) -> str:
    """Return the name of the box where a team's trial hears of its workers."""
    return f"{team}/desk"


def box(team: str, rank: int) -> str:
    """Return the name of the box where a worker finds its candidates."""
    return f"{team}/{rank}"


class Teammate:
    """One of the workers.

    Args:
        study: Where the study is kept.
        mailbox: Carries candidates, and what is said of them.
        share: What each worker holds.
        team: The trial's name.
    """

    def __init__(self, study: Location, mailbox: Any, share: Share, team: str) -> None:  # noqa: ANN401
        train = ray.train.get_context()
        self._rank, self._size = train.get_world_rank(), train.get_world_size()
        self._mailbox = mailbox
        self._mirror = Mirror(study)
        self._weights = borrower(mailbox, study)
        self._publish = publisher(mailbox, Location(self._mirror.folder))
        self._share = share
        self._team = team

    def work(self, evaluator: Evaluator) -> None:
        """Evaluate what comes, until nothing does."""
        evaluator = self._mirror.around(evaluator)
        runtime = ray.get_runtime_context()
        self._mailbox.keep.remote(self._team, get_current_placement_group())
        self._say(Arrived(runtime.current_actor, runtime.get_node_id(), socket.gethostname()))
        while candidates := ray.get(self._mailbox.take.remote(box(self._team, self._rank))):
            for candidate in candidates:
                context = self._lend(candidate)
                try:
                    ended = attempts.evaluate(evaluator, candidate, context, self._share)
                except GivenBack:  # the run ends
                    return
                self._say((candidate.id, ended))

    def _lend(self, candidate: Candidate) -> Context:
        def report(measurement: Measurement) -> None:
            if self._rank == 0:
                self._say((candidate.id, measurement))

        team = Team(self._rank, self._size, _TrainerArguments(self._share))
        study = attempts.lent(self._mirror.folder, self._share, self._weights, never, team)
        return attempts.own(study, candidate, report, self._publish)

    def _say(self, what: Arrived | tuple[int, Message]) -> None:
        """Tell the trial; return when it is there, so that nothing overtakes it."""
        ray.get(self._mailbox.put.remote(desk(self._team), [(self._rank, what)]))


class _TrainerArguments(Mapping[str, Any]):
    """What makes a Lightning trainer work with the others: made anew for each trainer.

    Args:
        share: What each worker holds.
    """

    def __init__(self, share: Share) -> None:
        from ray.train import lightning

        strategy: Any = lightning.RayDDPStrategy
        environment: Any = lightning.RayLightningEnvironment
        self._makers: dict[str, Callable[[], Any]] = {
            "accelerator": lambda: "gpu" if share.gpus else "cpu",
            "devices": lambda: "auto",
            "strategy": lambda: strategy(find_unused_parameters=True),  # a path uses a few of them
            "plugins": lambda: [environment()],
        }

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)
