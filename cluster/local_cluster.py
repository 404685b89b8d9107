"""A cluster of several Ray nodes on this machine, to try things out: up, down, and what it has."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from phylon.cluster.local_nodes import (
    NodeProcess,
    check_port,
    end_nodes,
    free_port,
    memory_of_each,
    start_node,
    wait_until_up,
)
from phylon.search.errors import ConfigurationError

AUTH_MODE = "RAY_AUTH_MODE"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a cluster is to be.

    Attributes:
        nodes: How many nodes.
        cpus: CPUs of each.
        gpus: GPUs of each; Ray only counts them, so they need not exist.
        port: Where the nodes, and drivers, find each other.
        dashboard_port: Where jobs are submitted.
    """

    nodes: int
    cpus: int
    gpus: int
    port: int
    dashboard_port: int


@dataclass(slots=True)
class LocalCluster:
    """The cluster that is up, or on its way.

    Attributes:
        wanted: What it was to be.
        folder: What holds its sockets and logs.
        auth: Ray's mode of authentication, ``token`` or ``disabled``.
        nodes: The processes of its nodes, the head's first.
        address: For ``RAY_ADDRESS``; empty until it is up.
    """

    wanted: Wanted
    folder: str
    auth: str
    nodes: list[NodeProcess] = field(default_factory=list)
    address: str = ""

    @property
    def dashboard(self) -> str:
        """Where jobs are submitted."""
        return f"http://127.0.0.1:{self.wanted.dashboard_port}"

    @property
    def lost(self) -> int:
        """How many of its nodes are gone."""
        return self.wanted.nodes - sum(node.find() is not None for node in self.nodes)


@dataclass(frozen=True, slots=True)
class NodeResources:
    """What a node has and what of it is free, as Ray counts: ``CPU``, ``GPU``, ``memory`` (bytes).

    Attributes:
        id: Ray's id of the node.
        is_head: Whether it is the head.
        total: What it has.
        free: What nobody holds.
    """

    id: str
    is_head: bool
    total: dict[str, float]
    free: dict[str, float]


def bring_up(wanted: Wanted) -> LocalCluster:
    """Start a cluster that outlives this process; whatever happens meanwhile, all of it or nothing.

    Raises:
        ConfigurationError: One is up already, or a port is taken.
        ClusterError: A node did not start.
    """
    with _one_at_a_time():
        _refuse_second()
        check_port(wanted.port, "--port")
        check_port(wanted.dashboard_port, "--dashboard-port")
        auth = os.environ.setdefault(AUTH_MODE, "token")
        if auth == "token":
            _have_token()
        cluster = LocalCluster(wanted, tempfile.mkdtemp(prefix="phylon-"), auth)
        try:
            _start(cluster)
        except BaseException:
            _remove(cluster)
            raise
        return cluster


def tear_down() -> bool:
    """End the cluster that is up, with all that runs on it; return whether there was one."""
    with _one_at_a_time():
        cluster = _recorded()
        if cluster is not None:
            _remove(cluster)
        return cluster is not None


def standing() -> LocalCluster:
    """Return the cluster that is up.

    Raises:
        ConfigurationError: None is.
    """
    cluster = _recorded()
    if cluster is None or cluster.lost == cluster.wanted.nodes:
        raise ConfigurationError("no local cluster is up; `phylon cluster up --nodes 2` starts one")
    return cluster


def resources_of(cluster: LocalCluster) -> list[NodeResources]:
    """Ask a cluster what its living nodes have; the head comes first.

    Raises:
        ConfigurationError: Its head does not answer.
    """
    os.environ[AUTH_MODE] = cluster.auth  # Before Ray reads it, once and for all.
    os.environ["RAY_ADDRESS"] = cluster.address

    import ray
    from ray._private.state import available_resources_per_node

    from phylon.cluster.connect import ray_cluster

    with ray_cluster():
        every = ray.nodes()  # type: ignore[no-untyped-call]
        free = available_resources_per_node()  # type: ignore[no-untyped-call]
    found = [
        NodeResources(
            node["NodeID"],
            "node:__internal_head__" in node["Resources"],
            node["Resources"],
            free.get(node["NodeID"], {}),
        )
        for node in every
        if node["Alive"]
    ]
    return sorted(found, key=lambda node: (not node.is_head, node.id))


def _start(cluster: LocalCluster) -> None:
    wanted = cluster.wanted
    has = [
        f"--num-cpus={wanted.cpus}",
        f"--num-gpus={wanted.gpus}",
        f"--memory={memory_of_each(wanted.nodes)}",
    ]
    head = [
        "--head",
        f"--port={wanted.port}",
        f"--dashboard-port={wanted.dashboard_port}",
        f"--ray-client-server-port={free_port()}",
    ]
    _add_node(cluster, [*head, *has])
    address = wait_until_up(_with_folders(cluster))
    for _ in range(1, wanted.nodes):
        _add_node(cluster, [f"--address={address}", *has])
    cluster.address = wait_until_up(_with_folders(cluster))
    _record(cluster)


def _add_node(cluster: LocalCluster, options: list[str]) -> None:
    cluster.nodes.append(start_node(options, Path(cluster.folder, str(len(cluster.nodes)))))
    _record(cluster)


def _with_folders(cluster: LocalCluster) -> list[tuple[NodeProcess, Path]]:
    return [(node, Path(cluster.folder, str(i))) for i, node in enumerate(cluster.nodes)]


def _remove(cluster: LocalCluster) -> None:
    end_nodes(cluster.nodes)
    shutil.rmtree(cluster.folder, ignore_errors=True)
    _record_file().unlink(missing_ok=True)


def _refuse_second() -> None:
    """Refuse a cluster beside one that is up; clean up after one that never was, or is gone."""
    cluster = _recorded()
    if cluster is None:
        return
    if cluster.address and cluster.lost < cluster.wanted.nodes:
        raise ConfigurationError(
            f"a local cluster is up at {cluster.address}; use it, or end it first: "
            f"`phylon cluster down`"
        )
    _remove(cluster)


def _have_token() -> None:
    """Make a token for Ray if the user has none; Ray itself would let others read the file."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    path = Path.home() / ".ray" / "auth_token"
    path.parent.mkdir(exist_ok=True)
    with suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))


def _record_file() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base, "phylon", "cluster.json")


def _record(cluster: LocalCluster) -> None:
    partial = _record_file().with_suffix(".partial")
    partial.write_text(json.dumps(asdict(cluster)))
    partial.replace(_record_file())


def _recorded() -> LocalCluster | None:
    try:
        data = json.loads(_record_file().read_text())
    except FileNotFoundError:
        return None
    nodes = [NodeProcess(**node) for node in data["nodes"]]
    return LocalCluster(**{**data, "wanted": Wanted(**data["wanted"]), "nodes": nodes})


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keep a second `up` or `down` out; the lock goes with its process.

    Raises:
        ConfigurationError: Another one is at work.
    """
    file = _record_file().with_suffix(".lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                "another `phylon cluster up` or `down` is at work; wait for it to end"
            ) from error
        yield
