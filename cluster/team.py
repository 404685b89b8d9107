"""Several workers that evaluate a candidate together: Ray Train's, within one trial of Tune's."""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import psutil
import ray
from ray.exceptions import RayActorError
from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.torch.config import _TorchBackend
from typing_extensions import override

from phylon.cluster import attempts
from phylon.cluster.attempts import Ended, Message, News
from phylon.cluster.capacity import ray_bundle
from phylon.cluster.executor import Share
from phylon.cluster.location import Location
from phylon.cluster.losses import TeamLost
from phylon.cluster.mirror import Mirror
from phylon.cluster.patience import never
from phylon.cluster.weights import Borrower
from phylon.search.candidate import Candidate, Measurement
from phylon.search.errors import GivenBack
from phylon.search.evaluation import Evaluator
from phylon.search.evaluation import Team as Membership

_TRAIN_SETTINGS = {
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",  # the study says what failed
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # the study runs again what was lost
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # there is none on other nodes
}
_DISSOLVED_S = 20.0
"""How long Ray Train may take to give back what a team held."""


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


@final
class Team:
    """The trial's side: passes candidates on to all workers, and tells what becomes of them.

    Ray Train starts the workers, joins them, and ends them all when one dies. What rank 0 measures
    counts. An exception in any worker ends the candidate and the team, as the others wait for it.

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
        os.environ.update(_TRAIN_SETTINGS)
        self.is_over = False
        self._mailbox = mailbox
        self._name = name
        self._size = share.workers
        self._actors: list[Any] = []
        self._open: list[Candidate] = []
        self._ends: dict[int, Ended] = {}
        self._letters: queue.SimpleQueue[Letter | Exception | None] = queue.SimpleQueue()

        def work() -> None:
            _work(evaluator, study, mailbox, share, name)

        trainer = TorchTrainer(
            work,
            torch_config=_TeamConfig(backend=_backend(share)),
            scaling_config=_scaling(share),
            run_config=_run(share, name, scratch),
        )
        self._training = threading.Thread(target=self._train, args=(trainer,), daemon=True)
        self._training.start()
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
            self._mailbox.put.remote(_box(self._name, rank), list(candidates))

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

    def dissolve(self) -> None:
        """End all workers, and wait until what they held is free."""
        for actor in self._actors:
            ray.kill(actor)
        if self._actors:
            self._training.join(_DISSOLVED_S)

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
        except RayActorError as error:
            raise TeamLost(error) from error

    def _listen(self) -> None:
        try:
            while letters := ray.get(self._mailbox.take.remote(_desk(self._name))):
                for letter in letters:
                    self._letters.put(letter)
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self._letters.put(error)

    def _train(self, trainer: TorchTrainer) -> None:
        try:
            trainer.fit()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self._letters.put(TeamLost(_cause(error)))
        else:
            self._letters.put(None)


def _work(
    evaluator: Evaluator,
    study: Location,
    mailbox: Any,  # noqa: ANN401 - a Ray actor
    share: Share,
    name: str,
) -> None:
    """Evaluate what the trial passes on; a worker's whole life."""
    train, runtime = ray.train.get_context(), ray.get_runtime_context()
    rank, size = train.get_world_rank(), train.get_world_size()
    mirror, weights = Mirror(study), Borrower(mailbox, study)
    evaluator = mirror.around(evaluator)

    def say(what: Arrived | tuple[int, Message]) -> None:
        ray.get(mailbox.put.remote(_desk(name), [(rank, what)]))  # one after another

    say(Arrived(runtime.current_actor, runtime.get_node_id(), socket.gethostname()))
    while candidates := ray.get(mailbox.take.remote(_box(name, rank))):
        for candidate in candidates:
            team = Membership(rank, size, _trainer(share))
            context = attempts.lent(mirror.folder, share, weights, never, team)
            context = attempts.own(
                context, candidate, lambda it, about=candidate.id: None if rank else say((about, it))
            )
            try:
                say((candidate.id, attempts.evaluate(evaluator, candidate, context, share)))
            except GivenBack:  # the run ends
                return


def _trainer(share: Share) -> dict[str, Any]:
    """Return what makes a Lightning trainer work with the others; for one trainer at a time."""
    from ray.train.lightning import RayDDPStrategy, RayLightningEnvironment

    return {
        "accelerator": "gpu" if share.gpus else "cpu",
        "devices": "auto",
        "strategy": RayDDPStrategy(find_unused_parameters=True),  # a path uses a few of them
        "plugins": [RayLightningEnvironment()],
    }


def _together(ends: dict[int, Ended]) -> Ended:
    """Return the end of a candidate that all workers have measured."""
    return Ended(ends[0].seconds, peak=max(each.peak for each in ends.values()))


def _cause(error: Exception) -> Exception:
    """Return why Ray Train gave up: the death of a worker, if it was that."""
    failures = list(error.worker_failures.values()) if isinstance(error, WorkerGroupError) else []
    causes = [failure.__cause__ or failure for failure in failures]
    deaths = [cause for cause in causes if isinstance(cause, RayActorError)]
    return [*deaths, error][0]


def _desk(name: str) -> str:
    return f"{name}/desk"


def _box(name: str, rank: int) -> str:
    return f"{name}/{rank}"


def _scaling(share: Share) -> ScalingConfig:
    bundle = {name: need for name, need in ray_bundle(share).items() if need}
    return ScalingConfig(
        num_workers=share.workers, use_gpu=bool(share.gpus), resources_per_worker=bundle
    )


def _run(share: Share, name: str, scratch: str) -> RunConfig:
    return RunConfig(
        name=name,
        storage_path=scratch,
        failure_config=FailureConfig(max_failures=0),
        worker_runtime_env={} if share.gpus else {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}},
    )


def _backend(share: Share) -> str:
    """Return what joins the workers. NCCL refuses two of them on one GPU; Gloo does not."""
    return "nccl" if share.gpus >= 1 else "gloo"


class _TeamBackend(_TorchBackend):
    """Joins workers over the network that Ray uses."""

    @override
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(_use_the_network_of_ray)
        super().on_start(worker_group, backend_config)


class _TeamConfig(TorchConfig):
    @property
    @override
    def backend_cls(self) -> type[_TeamBackend]:
        return _TeamBackend


def _use_the_network_of_ray() -> None:
    """Have Gloo listen where Ray does.

    By itself it takes the address that the host's name stands for, which may be one that others do
    not reach, or 127.0.1.1 as on Debian.
    """
    address = ray.util.get_node_ip_address()
    for interface, addresses in psutil.net_if_addrs().items():
        if address in (each.address for each in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
