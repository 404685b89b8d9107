"""Several studies on one cluster: how many candidates each of them may run."""

from __future__ import annotations

import heapq
import json
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.experimental import internal_kv

from phylon.cluster.capacity import Bundle, Room, living_nodes

NAMESPACE = b"phylon"
PREFIX = b"study/"
SILENT_S = 20.0
"""A study that has not written for so long is taken for dead; it writes every few seconds."""
UNLIMITED = 2**31
MEMORY_OF_WISHES = 5
"""A study that had nothing to run for a moment only is not cut down for it."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a study would like to have.

    Attributes:
        bundle: What one candidate holds, as Ray calls it.
        slots: How many candidates it would run if it were alone.
    """

    bundle: Bundle
    slots: int


def fair_slots(cluster: Bundle, demands: Mapping[str, Demand]) -> dict[str, int]:
    """Share out a cluster among studies: max-min fair over each one's dominant share.

    Slots go, one at a time, to the study that has the least of the resource that it has most of;
    of equals, to the first by name. "Dominant Resource Fairness", Ghodsi et al., NSDI 2011.

    Args:
        cluster: What all nodes have together.
        demands: What each study would like to have.

    Returns:
        How many candidates each may run; never more than it asks for.
    """
    left = dict(cluster)
    slots = dict.fromkeys(demands, 0)
    heap = [(0.0, name) for name, demand in demands.items() if demand.slots]
    heapq.heapify(heap)
    while heap:
        _, name = heapq.heappop(heap)
        needs = {key: need for key, need in demands[name].bundle.items() if need}
        if any(need > left.get(key, 0.0) + 1e-6 for key, need in needs.items()):
            continue
        for key, need in needs.items():
            left[key] -= need
        slots[name] += 1
        if slots[name] < demands[name].slots:
            dominant = max(need / cluster[key] for key, need in needs.items())
            heapq.heappush(heap, (dominant * slots[name], name))
    return slots


class Neighbours:
    """Where the studies of a cluster tell each other what they would like to have.

    Each keeps an entry in the key-value store that Ray's head has for itself, and counts in it. No
    clocks are compared: an entry that no longer counts is that of a dead driver, and is removed.

    Args:
        name: The study's own, by which the next driver of it takes over the entry of a dead one.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._count = 0
        self._seen: dict[str, tuple[int, float]] = {}

    def exchange(self, demand: Demand) -> dict[str, Demand]:
        """Say what this study would like to have; return what the living others have said."""
        self._count += 1
        own = {"count": self._count, "bundle": dict(demand.bundle), "slots": demand.slots}
        internal_kv._internal_kv_put(_key(self.name), json.dumps(own), namespace=NAMESPACE)
        others = {}
        now = time.monotonic()
        for name, entry in self._read().items():
            if self._seen.get(name, (-1, now))[0] != entry["count"]:
                self._seen[name] = entry["count"], now
            if now - self._seen[name][1] < SILENT_S:
                others[name] = Demand(entry["bundle"], entry["slots"])
            else:
                self._remove(name)
        return others

    def leave(self) -> None:
        """Say that this study is over."""
        self._remove(self.name)

    def _read(self) -> dict[str, dict[str, Any]]:
        entries = {}
        for key in internal_kv._internal_kv_list(PREFIX, namespace=NAMESPACE):
            name = key.removeprefix(PREFIX).decode()
            value = internal_kv._internal_kv_get(key, namespace=NAMESPACE)
            if value and name != self.name:
                entries[name] = json.loads(value)
        self._seen = {name: seen for name, seen in self._seen.items() if name in entries}
        return entries

    def _remove(self, name: str) -> None:
        self._seen.pop(name, None)
        internal_kv._internal_kv_del(_key(name), namespace=NAMESPACE)


class Quota:
    """How many workers a study may have at the moment.

    Args:
        study: Where the study lives.
        slots: At most so many, however large the cluster is; None for no limit.
    """

    def __init__(self, study: str, slots: int | None) -> None:
        self.room = Room()
        self.words = ""
        self._most = slots or UNLIMITED
        self._wishes: deque[int] = deque(maxlen=MEMORY_OF_WISHES)
        self._neighbours = Neighbours(study)

    def refresh(self, bundle: Bundle, wanted: int) -> int:
        """Look at the cluster; return how many workers the study may have.

        Args:
            bundle: What a worker holds, as Ray calls it.
            wanted: How many the study has use for.
        """
        nodes = living_nodes()
        self.room.update(nodes)
        self._wishes.append(min(wanted, self._most))
        demand = Demand(bundle, max(self._wishes))
        others = self._neighbours.exchange(demand)
        slots = self._most
        if others:
            name = self._neighbours.name
            slots = max(fair_slots(_sum(nodes.values()), {name: demand, **others})[name], 1)
        self.words = self._describe(nodes, len(others), slots)
        return slots

    def leave(self) -> None:
        """Tell the others that the study is over."""
        self._neighbours.leave()

    def _describe(self, nodes: Mapping[str, Bundle], others: int, slots: int) -> str:
        if not any(node.get("CPU") for node in nodes.values()):
            return "waiting for a node: none has a CPU"
        return f"shares the cluster with {others} more, {slots} slots for this" if others else ""


def _sum(nodes: Iterable[Bundle]) -> Bundle:
    total: defaultdict[str, float] = defaultdict(float)
    for node in nodes:
        for name, amount in node.items():
            total[name] += amount
    return total


def _key(name: str) -> bytes:
    return PREFIX + name.encode()
