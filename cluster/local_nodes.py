"""The processes of a cluster on one machine: `ray start --block`, once for each node."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from phylon.search.errors import ClusterError, ConfigurationError

OBJECT_STORE_BYTES = 80_000_000  # Ray's least is 75 MB
START_S = 300.0
STOP_S = 10.0
POLL_S = 0.1

_UP = "ray_current_cluster"
"""What Ray writes into a node's folder once it runs: the address of its cluster."""


@dataclass(frozen=True, slots=True)
class NodeProcess:
    """The process that leads a node's process group.

    Attributes:
        pid: Its id, and its group's.
        started: Unix time of its start: another process with that id began at another time.
    """

    pid: int
    started: float

    def find(self) -> psutil.Process | None:
        """Return the process if it is still there."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            is_it = abs(process.create_time() - self.started) < 1.0
            if is_it and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


def start_node(options: Iterable[str], folder: Path) -> NodeProcess:
    """Start a node in a process group of its own.

    Args:
        options: Of `ray start`.
        folder: What is to hold its sockets and logs, in the folder of the cluster.
    """
    folder.mkdir()
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *options]
    # Ports by chance, so that nodes of one machine do not fall out over them.
    command += ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
    command += [f"--object-store-memory={OBJECT_STORE_BYTES}", f"--temp-dir={folder}"]
    environment = {
        **os.environ,
        "TMPDIR": str(folder.parent),  # So that whatever is left there goes with the cluster.
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # Else SIGTERM takes half a minute.
    }
    environment.pop("RAY_ADDRESS", None)
    with _log(folder).open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    return NodeProcess(process.pid, psutil.Process(process.pid).create_time())


def wait_until_up(nodes: Sequence[tuple[NodeProcess, Path]]) -> str:
    """Wait for nodes, each with its folder, and return the address of their cluster.

    Raises:
        ClusterError: One of them ended, or takes too long.
    """
    deadline = time.monotonic() + START_S
    address = ""
    for node, folder in nodes:
        while not (address := _read(folder / _UP)):
            if node.find() is None:
                raise ClusterError(f"a Ray node ended while it started: {_last_words(folder)}")
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"a Ray node is not up after {START_S:g} s, last heard of it: "
                    f"{_last_words(folder)}"
                )
            time.sleep(POLL_S)
    return address


def end_nodes(nodes: Iterable[NodeProcess]) -> None:
    """End nodes with all that they started: by SIGTERM, and after a while by SIGKILL."""
    leaders = [process for node in nodes if (process := node.find())]
    family: list[psutil.Process] = []
    for leader in leaders:
        with suppress(psutil.NoSuchProcess):
            family += [leader, *leader.children(recursive=True)]
    for leader in leaders:
        with suppress(ProcessLookupError):
            os.killpg(leader.pid, signal.SIGTERM)
    _, left = psutil.wait_procs(family, timeout=STOP_S)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=STOP_S)


def memory_of_each(nodes: int) -> int:
    """Return the bytes that each of several nodes on this machine may give to candidates."""
    return int(0.8 * psutil.virtual_memory().available / nodes) - OBJECT_STORE_BYTES


def check_port(port: int, option: str) -> None:
    """Refuse a port that somebody listens on.

    Raises:
        ConfigurationError: It is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} is taken by another program, perhaps another Ray; name another one "
                f"by {option}"
            ) from error


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _log(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")


def _last_words(folder: Path) -> str:
    return _read(_log(folder)).strip().rpartition("\n")[2] or "nothing"


def _read(path: Path) -> str:
    with suppress(FileNotFoundError):
        return path.read_text(errors="replace")
    return ""
