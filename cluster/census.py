"""Before a study begins: what its nodes are, whether they fit together, and see its storage."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import ray
from ray import cloudpickle
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from phylon.cluster import look_around
from phylon.cluster.location import Location
from phylon.search.errors import ClusterError, ConfigurationError

PATIENCE_S = 120.0
"""For a node's answer. A node that died silently counts as living for a minute."""

_MUST_AGREE = ("python", "ray", "torch", "phylon")
_SHOULD_AGREE = ("pytorch-lightning", "numpy")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Node:
    """A living node of the cluster.

    Attributes:
        id: Ray's id of it.
        host: Its host name.
        cpus: CPUs that Ray counts.
        gpus: GPUs that Ray counts; they need not exist.
        memory: Bytes that Ray counts as memory for tasks and actors.
        gpu_memory: Bytes of its smallest GPU; 0 if there is none.
    """

    id: str
    host: str
    cpus: float
    gpus: float
    memory: int
    gpu_memory: int = 0

    def __str__(self) -> str:
        return f"{self.host} ({self.id[:8]})"


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen on a node.

    Attributes:
        gpu_memory: As in `Node`.
        versions: By package; empty if it is not installed.
        source: Digest of phylon's modules.
        word: What stands in the storage; None if it cannot be read.
        reason: Why it cannot.
    """

    gpu_memory: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    source: str = ""
    word: str | None = None
    reason: str = ""


def take_census(location: Location) -> list[Node]:
    """Return the living nodes of the connected cluster if a study can run on all of them.

    A node that dies meanwhile, or does not answer, is left out, with a warning.

    Args:
        location: A place that all nodes must see; a file is written there and removed again.

    Raises:
        ConfigurationError: Versions or sources differ, or a node does not see the storage.
        ClusterError: No node answers.
    """
    nodes = _living()
    here = ray.get_runtime_context().get_node_id()
    if [node.id for node in nodes] == [here] and not look_around.has_gpu_driver():
        return nodes
    marker = location / f".phylon-{uuid.uuid4().hex}"
    word = uuid.uuid4().hex
    marker.write(word.encode())
    try:
        own = _Look(**look_around.installed())
        seen = _ask(nodes, str(marker))
    finally:
        marker.delete()
    if not seen:
        raise ClusterError(
            f"none of the cluster's {len(nodes)} nodes answers within {PATIENCE_S:g} s; look at "
            f"`ray status`, and begin again when they do"
        )
    host = next((node.host for node in nodes if node.id == here), "the driver's host")
    _check_versions(own, seen, host)
    _check_storage(location, word, seen, host)
    return [_with_gpu_memory(node, look) for node, look in seen]


def _living() -> list[Node]:
    every = ray.nodes()  # type: ignore[no-untyped-call]
    return [
        Node(
            each["NodeID"],
            each["NodeManagerHostname"],
            each["Resources"].get("CPU", 0.0),
            each["Resources"].get("GPU", 0.0),
            int(each["Resources"].get("memory", 0)),
        )
        for each in every
        if each["Alive"]
    ]


def _with_gpu_memory(node: Node, look: _Look) -> Node:
    return Node(node.id, node.host, node.cpus, node.gpus, node.memory, look.gpu_memory)


def _ask(nodes: Sequence[Node], marker: str) -> list[tuple[Node, _Look]]:
    """Return what is seen on each node that answers."""
    answers = {}
    cloudpickle.register_pickle_by_value(look_around)  # type: ignore[no-untyped-call]
    for node in nodes:
        only_there = NodeAffinitySchedulingStrategy(node.id, soft=False)
        # A process that has used a GPU keeps a part of its memory, so it is not used again.
        task = ray.remote(num_cpus=0, max_retries=0, max_calls=1 if node.gpus else 0)
        look = task(look_around.look_around).options(scheduling_strategy=only_there)
        answers[node] = look.remote(marker)
    ray.wait(list(answers.values()), num_returns=len(answers), timeout=PATIENCE_S)
    seen = []
    for node, answer in answers.items():
        try:
            seen.append((node, _Look(**ray.get(answer, timeout=0))))
        except GetTimeoutError:
            log.warning("node %s does not answer; it may be dead or overloaded", node)
        except RayError as error:
            log.warning("node %s is left out: %s", node, str(error).splitlines()[0])
    return seen


def _check_versions(own: _Look, seen: Sequence[tuple[Node, _Look]], host: str) -> None:
    """Refuse nodes on which the same study would be another one, or none.

    Raises:
        ConfigurationError: There are such.
    """
    complaints = []
    for node, look in seen:
        for name in (*_MUST_AGREE, *_SHOULD_AGREE):
            here, there = own.versions[name], look.versions[name] or "missing"
            if name in _SHOULD_AGREE and here != there != "missing":
                log.warning("node %s has %s %s, the driver has %s", node, name, there, here)
            elif _essence(name, here) != _essence(name, there):
                complaints.append(f"node {node} has {name} {there}, the driver on {host} {here}")
        if look.versions["phylon"] == own.versions["phylon"] and look.source != own.source:
            complaints.append(
                f"node {node} has another source of phylon {own.versions['phylon']} "
                f"({look.source}) than the driver on {host} ({own.source})"
            )
    if complaints:
        raise ConfigurationError(
            f"{'; '.join(complaints)}: install the same on all nodes; `phylon submit` brings "
            f"phylon itself along"
        )


def _essence(name: str, version: str) -> str:
    """Return the part of a version that must agree: Python's minor, and builds do not matter."""
    public = version.partition("+")[0]
    return ".".join(public.split(".")[:2]) if name == "python" else public


def _check_storage(
    location: Location, word: str, seen: Sequence[tuple[Node, _Look]], host: str
) -> None:
    """Refuse a storage that is not the same one everywhere.

    Raises:
        ConfigurationError: There are nodes that do not see it.
    """
    blind = [(node, look) for node, look in seen if look.word != word]
    if not blind:
        return
    if location.local is None:
        told = "; ".join(f"node {node}: {look.reason}" for node, look in blind)
        raise ConfigurationError(
            f"storage: {location} is not reached from all nodes: {told}; give all nodes the same "
            f"credentials and endpoint"
        )
    names = ", ".join(str(node) for node, _ in blind)
    some = f"node {names} has" if len(blind) == 1 else f"nodes {names} have"
    raise ConfigurationError(
        f"storage: {location} is seen by the driver on {host}, but {some} no such folder, or "
        f"another one of that name; mount one folder on all nodes, or use s3://BUCKET/FOLDER"
    )
