"""A cluster without processes, on which a bridge's workers come, measure and go by a made-up clock.

It stands for Ray and Tune: a worker that was asked for comes a few seconds after there is room for
it, first come, first served, and whoever fits may pass those that do not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from phylon.cluster import bridge, crew
from phylon.cluster.attempts import Ended
from phylon.cluster.bridge import Bridge
from phylon.cluster.capacity import Bundle, Room, ray_bundle
from phylon.cluster.executor import Share, Usage
from phylon.cluster.shares import FixedShares
from phylon.cluster.trainable import SHARE
from phylon.search import Architecture, Candidate, Measurement
from phylon.search.candidate import Phase

TICK_S = 0.1
START_S = 3.0


class Study:
    """A study whose candidates take `seconds` each, and hold what `shares` says.

    Args:
        shares: What each candidate holds; there are as many as it has items.
        seconds: How long each takes.
        probes: Which of them are probes.
    """

    stopping = False

    def __init__(
        self, shares: list[Share], seconds: float, probes: Container[int] = frozenset()
    ) -> None:
        self.seconds = seconds
        self._probes = probes
        self.shares = shares
        self.completed: list[int] = []
        self.lost: list[tuple[int, bool]] = []
        self._ready = deque(map(self._new, range(len(shares))))

    def _new(self, number: int) -> Candidate:
        phase: Phase = "probe" if number in self._probes else "search"
        return Candidate(number, Architecture({"i": number}), phase=phase)

    @property
    def finished(self) -> bool:
        return len(self.completed) == len(self.shares)

    @property
    def least(self) -> Share:
        return min(self.shares, key=lambda share: share.cpus)

    def of(self, candidate: Candidate) -> Share:
        return self.shares[candidate.id]

    def larger(self, share: Share) -> Share | None:
        return FixedShares(share, largest=0).larger(share)

    def learn(self, candidate: Candidate, usage: Usage, *, sufficed: bool) -> None:
        """Nothing: shares are given."""

    def propose(self) -> Candidate | None:
        return self._ready.popleft() if self._ready else None

    def observe(self, candidate_id: int, measurement: Measurement) -> None:
        """Nothing: measurements do not matter here."""

    def complete(self, candidate_id: int, _usage: Usage) -> None:
        self.completed.append(candidate_id)

    def fail(self, _candidate_id: int, reason: str, _usage: Usage) -> None:
        raise AssertionError(reason)

    def outgrow(self, candidate_id: int, _usage: Usage) -> None:
        raise AssertionError(candidate_id)

    def lose(self, running: int, waiting: Any, _reason: str, *, innocent: bool = False) -> None:
        self.lost.append((running, innocent))
        self._ready.extendleft(map(self._new, reversed([running, *waiting])))

    def flush(self) -> None:
        """Nothing: nothing is written."""


@dataclass
class Quota:
    """As many workers as fit, or as are allowed; notes what was wished for."""

    nodes: Mapping[str, Bundle]
    slots: int = 2**31
    room: Room = field(default_factory=Room)
    wished: int = 0

    def refresh(self, _bundle: Bundle, wanted: int) -> int:
        self.room.update(self.nodes)
        self.wished = wanted
        return self.slots


@dataclass
class Worker:
    """A worker that was asked for; where it is, and what it does until when."""

    share: Share
    node: str = ""
    until: float = 0.0
    running: list[Candidate] = field(default_factory=list)
    orders: deque[list[Candidate]] = field(default_factory=deque)


class Simulation:
    """Runs a study on nodes of which others hold a part.

    Args:
        monkeypatch: Sets the clock.
        study: The study.
        nodes: What each node has.
        held: What others hold of each node; it may be changed at any time.
        slots: How many workers the study may have.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        study: Study,
        nodes: Mapping[str, Bundle],
        held: dict[str, float] | None = None,
        slots: int = 2**31,
    ) -> None:
        self.now = 1000.0
        self.held = held or {}
        self.quota = Quota(nodes, slots)
        self.workers: dict[str, Worker] = {}
        self.started = 0
        self._study = study
        remote: Callable[[Any], Any] = lambda call: SimpleNamespace(remote=call)  # noqa: E731
        mailbox: Any = SimpleNamespace(
            put=remote(lambda name, order: self.workers[name].orders.append(order)),
            forget=remote(lambda _: None),
            close=remote(lambda: None),
        )
        for module in (bridge, crew):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(bridge, "living_nodes", lambda: self.quota.nodes)
        self.bridge = Bridge(study, mailbox, study, self.quota)  # type: ignore[arg-type]

    def run(self, seconds: float) -> None:
        """Let so many seconds pass, or fewer if the study is at its end."""
        end = self.now + seconds
        while self.now < end and not self.bridge.should_stop():
            while isinstance(config := self.bridge.suggest(f"worker{self.started}"), dict):
                self.workers[f"worker{self.started}"] = Worker(config[SHARE])
                self.started += 1
            self._place()
            for name in list(self.workers):
                self._step(name)
            self.now += TICK_S
        if self.bridge.error:
            raise self.bridge.error

    def lose(self, name: str, error: Exception) -> None:
        """Let a worker end by itself."""
        del self.workers[name]
        self.bridge.lose(name, error)

    def lose_node(self, node: str) -> None:
        """Let a node die with all workers on it."""
        self.quota.nodes = {name: it for name, it in self.quota.nodes.items() if name != node}
        for name in [name for name, worker in self.workers.items() if worker.node == node]:
            self.lose(name, ActorDiedError())

    def _place(self) -> None:
        for worker in self.workers.values():
            if not worker.node:
                fitting = (name for name in self.quota.nodes if self._has_room(name, worker.share))
                worker.node = next(fitting, "")
                worker.until = self.now + START_S

    def _has_room(self, node: str, share: Share) -> bool:
        theirs = [worker.share for worker in self.workers.values() if worker.node == node]
        used = sum(it.cpus for it in theirs) + self.held.get(node, 0.0)
        has = self.quota.nodes[node]
        gpus = sum(it.gpus for it in theirs)
        return (
            used + share.cpus <= has["CPU"] + 1e-6
            and gpus + ray_bundle(share)["GPU"] <= has.get("GPU", 0.0) + 1e-6
        )

    def _step(self, name: str) -> None:
        worker = self.workers[name]
        if not worker.node or self.now < worker.until:
            return
        if worker.until:
            worker.until = 0.0
            news: list[Any] = []
            for each in worker.running:
                news += [(each.id, Measurement(1, {"y": 1.0}, 1.0)), (each.id, Ended(1.0))]
            worker.running = []
            self.bridge.take_news(name, news, (worker.node,), worker.node, last=False)
        if worker.orders:
            worker.running = worker.orders.popleft()
            worker.until = self.now + self._study.seconds
            if not worker.running:
                del self.workers[name]
                self.bridge.take_news(name, [], (worker.node,), worker.node, last=True)
