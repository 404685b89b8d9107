"""How much of a cluster is left for a study: nodes as they come and go, and what its workers hold.

Symbols: a bundle is what Ray calls CPU, GPU and memory (bytes), each with its amount.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import ray

from phylon.cluster.executor import Share
from phylon.search.errors import ConfigurationError

Bundle = Mapping[str, float]

GIB = 2**30
_DUST = 1e-6  # what sums of ten-thousandths may be wrong by


@lru_cache(maxsize=1024)
def ray_bundle(share: Share) -> Bundle:
    """Return a share as Ray calls it, cut to Ray's steps of 1/10,000; for a team, of each worker.

    Ray itself would round 1/7 up, and only six of seven candidates would fit.
    """
    cpus, gpus = (math.floor(it * 1e4 + _DUST) / 1e4 for it in (share.cpus, share.gpus))
    memory = {"memory": float(share.memory)} if share.memory else {}
    return {"CPU": cpus, "GPU": gpus, **memory}


def living_nodes() -> dict[str, Bundle]:
    """Return what each living node of the connected cluster has in all, by node id."""
    every = ray.nodes()  # type: ignore[no-untyped-call]
    return {node["NodeID"]: node["Resources"] for node in every if node["Alive"]}


def count_slots(nodes: Mapping[str, Bundle], share: Share) -> int:
    """Return how many candidates with that share the nodes could run at once."""
    return _count_workers(nodes, share) // share.workers


def _count_workers(nodes: Mapping[str, Bundle], share: Share) -> int:
    needs = {name: need for name, need in ray_bundle(share).items() if need}
    return sum(
        min(int(node.get(name, 0.0) / need + _DUST) for name, need in needs.items())
        for node in nodes.values()
    )


def check_share(nodes: Mapping[str, Bundle], share: Share, section: str = "resources") -> None:
    """Refuse a share that no node can ever offer, or a team that all of them have no room for.

    Args:
        nodes: What each has in all.
        share: What a candidate is to hold.
        section: Where the study file says so.

    Raises:
        ConfigurationError: That is so; it tells what the largest node has, or how many workers fit.
    """
    if count_slots(nodes, share):
        return
    if there := _count_workers(nodes, share):
        raise ConfigurationError(
            f"{section.removesuffix('.resources')}.workers: {share.workers} workers are asked for, "
            f"each with {describe(ray_bundle(share), ray_bundle(share))}, but the cluster has room "
            f"for {there}; ask for {there} at most, for less for each, or wait until more nodes "
            f"have joined"
        )
    bundle = ray_bundle(share)
    largest = max(nodes.values(), key=lambda node: _offer(node, bundle), default={})
    keys = {"CPU": "cpus", "GPU": "gpus", "memory": "memory"}
    short = [keys[name] for name, need in bundle.items() if need > largest.get(name, 0.0) + _DUST]
    raise ConfigurationError(
        f"{section}.{f', {section}.'.join(short)}: a candidate asks for "
        f"{describe(bundle, bundle)}, but the largest node has {describe(largest, bundle)}; ask "
        f"for less, or wait until larger nodes have joined"
    )


def describe(node: Bundle, asked: Bundle) -> str:
    """Return the amounts of what is asked for, such as ``4 cpus, 0 gpus and 2.5 GiB``."""
    words = [f"{node.get('CPU', 0.0):g} cpus", f"{node.get('GPU', 0.0):g} gpus"]
    if "memory" in asked:
        words.append(f"{node.get('memory', 0.0) / GIB:.3g} GiB")
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _offer(node: Bundle, bundle: Bundle) -> tuple[float, float]:
    """Rank nodes by how many of the wishes they can grant, then by how much of the scarcest."""
    parts = [node.get(name, 0.0) / need for name, need in bundle.items() if need]
    return sum(part >= 1 for part in parts), min(parts)


@dataclass
class _Booking:
    """A place for a worker, or for one of a team."""

    share: Share
    node: str | None
    is_there: bool = False
    is_hopeless: bool = False


class Room:
    """What the workers of a study hold of each node, and what is left.

    A worker is booked on the first node with room, and later on that which Ray chose. What others
    hold is not known: Ray lets a worker wait until they are gone.
    """

    def __init__(self) -> None:
        self.nodes: Mapping[str, Bundle] = {}
        self._free: dict[str, dict[str, float]] = {}
        self._teams: dict[str, list[_Booking]] = {}
        self._full: set[Share] = set()

    def update(self, nodes: Mapping[str, Bundle]) -> None:
        """Take note of the nodes that there are now."""
        self.nodes = nodes
        self._free = {name: dict(node) for name, node in nodes.items()}
        self._full.clear()
        for booking in self._bookings():
            if booking.is_there:
                self._add(booking, -1)
        for booking in self._bookings():
            if not booking.is_there:
                booking.node = None if booking.is_hopeless else self._choose(booking.share)
                self._add(booking, -1)

    def fits(self, share: Share) -> bool:
        """Whether there is room for one more."""
        if share not in self._full and not self._has_room(share):
            self._full.add(share)
        return share not in self._full

    def book(self, worker: str, share: Share) -> None:
        """Book a worker; without room, on the node where it has to wait for the fewest others."""
        self._teams[worker] = team = []
        for _ in range(share.workers):
            team.append(_Booking(share, self._choose(share)))
            self._add(team[-1], -1)

    def locate(self, worker: str, nodes: Sequence[str]) -> None:
        """Take note of where a worker is, or those of a team; who was booked there makes room."""
        for booking, node in zip(self._teams[worker], nodes, strict=True):
            self._locate(booking, node)

    def _locate(self, booking: _Booking, node: str) -> None:
        self._add(booking, 1)
        for other in self._bookings() if booking.node != node else ():
            if (other.node, other.share, other.is_there) == (node, booking.share, False):
                self._add(other, 1)
                other.node = booking.node
                self._add(other, -1)
                break
        booking.node, booking.is_there = node, True
        self._add(booking, -1)

    def forgo(self, worker: str) -> None:
        """From the next update on, keep no room for a worker that does not come."""
        for booking in self._teams[worker]:
            booking.is_hopeless = True

    def release(self, worker: str) -> None:
        """Take note that a worker is gone."""
        for booking in self._teams.pop(worker):
            self._add(booking, 1)

    def is_overbooked(self, worker: str) -> bool:
        """Whether a worker's node is also promised to one of another size, which waits for room.

        One of the same size would gain nothing by it, and after the death of a node Ray may take
        minutes to find another one for those that were to come there.
        """
        return any(self._is_overbooked(booking) for booking in self._teams[worker])

    def _is_overbooked(self, booking: _Booking) -> bool:
        free = self._free.get(booking.node or "", {})
        needs = ray_bundle(booking.share)
        if not any(need and free.get(name, 0.0) < -_DUST for name, need in needs.items()):
            return False
        rivals = (it for it in self._bookings() if it.node == booking.node)
        return any(it.share != booking.share and not it.is_there for it in rivals)

    def _bookings(self) -> Iterator[_Booking]:
        return itertools.chain.from_iterable(self._teams.values())

    def _has_room(self, share: Share) -> bool:
        if share.workers == 1:
            return self._find(share) is not None
        team: list[_Booking] = []
        while len(team) < share.workers and (node := self._find(share)):
            team.append(_Booking(share, node))
            self._add(team[-1], -1)
        for booking in team:
            self._add(booking, 1)
        return len(team) == share.workers

    def _add(self, booking: _Booking, sign: int) -> None:
        free = self._free.get(booking.node or "")
        if free is not None:
            for name, need in ray_bundle(booking.share).items():
                free[name] = free.get(name, 0.0) + sign * need
        if sign > 0:
            self._full.clear()

    def _choose(self, share: Share) -> str | None:
        return self._find(share) or self._nearest(share)

    def _find(self, share: Share) -> str | None:
        needs = [(name, need) for name, need in ray_bundle(share).items() if need]
        for node, free in self._free.items():
            if all(need <= free.get(name, 0.0) + _DUST for name, need in needs):
                return node
        return None

    def _nearest(self, share: Share) -> str | None:
        """Return the node that lacks the least, of those that could hold the share alone."""
        needs = {name: need for name, need in ray_bundle(share).items() if need}
        lacks = {
            node: max((need - self._free[node][name]) / total[name] for name, need in needs.items())
            for node, total in self.nodes.items()
            if all(need <= total.get(name, 0.0) + _DUST for name, need in needs.items())
        }
        return min(lacks, key=lacks.__getitem__, default=None)
