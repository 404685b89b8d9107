"""The workers of a run: how large they are, where they are, and what they measure."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from phylon.cluster.capacity import Bundle, Room, ray_bundle
from phylon.cluster.executor import Share
from phylon.search.candidate import Candidate

IDLE_S = 20.0
"""A worker without a candidate for so long is let go: others may want its room."""
LATE_S = 30.0
"""A worker that has not come by then may lack room that only workers of another size can make."""
HOPELESS_S = 4 * LATE_S
"""By then they would have made it: it is others who hold the room."""


@dataclass(slots=True)
class Worker:
    """A process that measures candidates of one size.

    Attributes:
        share: What it holds.
        since: When it was asked for, or was last without a candidate; monotonic seconds.
        nodes: Ids of its node, or of those of a team; none until it has come.
        running: What it measures, and will measure next, by id.
    """

    share: Share
    since: float
    nodes: tuple[str, ...] = ()
    running: dict[int, Candidate] = field(default_factory=dict)


class Crew:
    """Keeps the books on workers; does nothing by itself.

    Args:
        room: Where they are booked.
    """

    def __init__(self, room: Room) -> None:
        self.slots = 1
        self.requested: Counter[Share] = Counter()
        """Workers that were asked for and have not come yet."""
        self._room = room
        self._workers: dict[str, Worker] = {}
        self._idle: defaultdict[Share, dict[str, None]] = defaultdict(dict)
        self._leaving: set[str] = set()
        self._sizes: Counter[Share] = Counter()
        self._late: set[Share] = set()

    def __len__(self) -> int:
        return len(self._workers)

    def __getitem__(self, name: str) -> Worker:
        return self._workers[name]

    @property
    def busy(self) -> int:
        """How many have a candidate."""
        return sum(bool(worker.running) for worker in self._workers.values())

    @property
    def is_there(self) -> bool:
        """Whether any worker has come."""
        return any(worker.nodes for worker in self._workers.values())

    @property
    def is_full(self) -> bool:
        """Whether there are as many as there may be, without those that are about to leave."""
        return len(self._workers) - len(self._leaving) >= self.slots

    def mean_bundle(self, otherwise: Share) -> Bundle:
        """Return what a worker, or a team, holds on average."""
        bundles = [_all_of(worker.share) for worker in self._workers.values()]
        if not bundles:
            return _all_of(otherwise)
        names = {name for bundle in bundles for name in bundle}
        return {name: sum(it.get(name, 0.0) for it in bundles) / len(bundles) for name in names}

    def has(self, share: Share) -> bool:
        """Whether there is a worker of that size, or one was asked for."""
        return self._sizes[share] > 0

    def idle(self, share: Share) -> str | None:
        """Return an idle worker of that size, the one that has been idle for longest."""
        return next(iter(self._idle[share]), None)

    def idle_sizes(self) -> list[Share]:
        """Return which sizes there are idle workers of."""
        return [share for share, idle in self._idle.items() if idle]

    def ask_for(self, name: str, share: Share) -> None:
        """Take note that a worker was asked for."""
        self._workers[name] = Worker(share, time.monotonic())
        self._room.book(name, share)
        self._sizes[share] += 1
        self.requested[share] += 1

    def welcome(self, name: str, nodes: tuple[str, ...]) -> None:
        """Take note of where a worker is, when it says so first."""
        worker = self._workers[name]
        if nodes and not worker.nodes:
            worker.nodes = nodes
            self.requested[worker.share] -= 1
            self._room.locate(name, nodes)

    def rest(self, name: str) -> None:
        """Take note that a worker has nothing to do."""
        worker = self._workers[name]
        if name not in self._leaving and name not in self._idle[worker.share]:
            worker.since = time.monotonic()
            self._idle[worker.share][name] = None

    def employ(self, name: str, candidates: Iterable[Candidate]) -> None:
        """Take note of what an idle worker measures now."""
        worker = self._workers[name]
        del self._idle[worker.share][name]
        worker.running = {candidate.id: candidate for candidate in candidates}

    def let_go(self, name: str) -> None:
        """Take note that an idle worker was told to go."""
        worker = self._workers[name]
        del self._idle[worker.share][name]
        self._leaving.add(name)
        self._sizes[worker.share] -= 1

    def remove(self, name: str) -> Worker:
        """Take note that a worker is gone."""
        worker = self._workers.pop(name)
        self._idle[worker.share].pop(name, None)
        if name in self._leaving:
            self._leaving.remove(name)
        else:
            self._sizes[worker.share] -= 1
        if not worker.nodes:
            self.requested[worker.share] -= 1
        self._room.release(name)
        return worker

    def must_leave(self, name: str) -> bool:
        """Whether an idle worker should make room instead of being served again."""
        is_too_many = len(self._workers) - len(self._leaving) > self.slots
        has_to_yield = self.yields(self._workers[name].share)
        return is_too_many or has_to_yield or self._room.is_overbooked(name)

    def yields(self, share: Share) -> bool:
        """Whether workers of a size are to make room for one that nobody of its size is there for.

        That lasts for a while only: others may hold the room, and the study is to go on meanwhile.
        """
        return bool(self._late) and share not in self._late

    def look_around(self) -> Iterator[str]:
        """Find out who is late; yield who is idle and should go. Takes time for each worker."""
        now = time.monotonic()
        self._late = set()
        for name, worker in self._workers.items():
            if not worker.nodes and now - worker.since > HOPELESS_S:
                self._room.forgo(name)
            elif not worker.nodes and now - worker.since > LATE_S:
                self._late.add(worker.share)
        self._late -= {worker.share for worker in self._workers.values() if worker.nodes}
        for name in self._all_idle():
            if self.must_leave(name) or now - self._workers[name].since > IDLE_S:
                yield name

    def _all_idle(self) -> Sequence[str]:
        return [name for idle in self._idle.values() for name in idle]


def _all_of(share: Share) -> Bundle:
    """Return what all workers of a share hold together."""
    return {name: need * share.workers for name, need in ray_bundle(share).items()}
