"""Several hosts in one machine: each with its own network, processes, name, /dev/shm and HOME.

A host is a process in namespaces of its own (`first_process.py`), and all that was started in
them. Nothing of it outlives that process, and that process does not outlive the test: there is
nothing to clean up but folders. Needs root, `unshare` and `nsenter` of util-linux, and pyroute2.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
UNSHARE = ["unshare", "--net", "--pid", "--mount", "--uts", "--ipc"]
ENTER = ["nsenter", "--net", "--pid", "--mount", "--uts", "--ipc"]
NETWORK = "10.77.0"
GRACE_S = 300
LISTENS = "0A"  # in /proc/net/tcp


class Host:
    """A host, or the hub that connects them and has the servers that all of them reach.

    Attributes:
        name: Its host name.
        ip: Its address in the network of the hosts.
        own: Its own folder, which it sees as /mnt; its HOME, logs and Ray's files are there.
        env: Environment of whatever is started on it.
    """

    def __init__(self, name: str, ip: str, own: Path, folder: Path, shared: Sequence[Path]) -> None:
        self.name, self.ip, self.own = name, ip, own
        own.mkdir(parents=True)
        self.env = {
            **{key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
            "HOME": "/mnt/home",
            "TMPDIR": "/mnt/tmp",
            "RAY_TMPDIR": "/mnt",
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "COLUMNS": "200",
        }
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        first = [sys.executable, "-IS", HERE / "first_process.py", name, own, folder, *shared]
        with (own / "host.log").open("wb") as log:
            self._outer = subprocess.Popen(
                [*UNSHARE, "--fork", "--mount-proc", "--kill-child", *map(str, first)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._outer.stdout
        assert self._outer.stdout.readline() == b"up\n", self.log("host.log")
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        self.pid = int(children.read_text())

    def popen(
        self, *command: str | Path, cwd: Path | str = "/mnt", log: str = "log", **env: str
    ) -> subprocess.Popen[bytes]:
        """Start a program as the leader of a process group; what it says is appended to a log."""
        with (self.own / log).open("ab") as output:
            started = subprocess.Popen(
                [*ENTER, "-t", str(self.pid), f"--wdns={cwd}", "--", *map(str, command)],
                env={**self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(started)
        return started

    def run(
        self, *command: str | Path, cwd: Path | str = "/mnt", code: int | None = 0, **env: str
    ) -> str:
        """Run a program to its end and return all that it said.

        Args:
            command: The program and its arguments.
            cwd: Where, as the host sees it.
            code: The exit code that it must have; None for any.
            env: What is set besides the host's own.
        """
        log = f"run-{len(self._started)}"
        process = self.popen(*command, cwd=cwd, log=log, **env)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            kill(process)
        said = self.log(log)
        words = " ".join(map(str, command))
        assert code in (process.returncode, None), f"{words}: {process.returncode}\n{said}"
        return said

    def log(self, name: str = "log") -> str:
        """Return what a program has said."""
        file = self.own / name
        return file.read_text(errors="replace") if file.exists() else ""

    def listens(self, port: int) -> bool:
        """Whether anything on this host listens at a port."""
        rows = Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()
        rows += Path(f"/proc/{self.pid}/net/tcp6").read_text().splitlines()
        cells = [row.split() for row in rows]
        return any(c[1].endswith(f":{port:04X}") and c[3] == LISTENS for c in cells)

    def processes(self) -> dict[int, str]:
        """Return the host's processes, by their ids outside of it, with their names."""
        found = {}
        own = Path(f"/proc/{self.pid}/ns/pid").readlink()
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if (path / "ns/pid").readlink() == own:
                    found[int(path.name)] = (path / "comm").read_text().strip()
            except OSError:
                continue  # It has just ended.
        return found

    def kill_process(self, name: str) -> None:
        """Kill -9 all processes of that name on this host."""
        victims = [pid for pid, each in self.processes().items() if each == name]
        assert victims, f"no {name} on {self.name}: {self.processes()}"
        for pid in victims:
            os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """Let the host vanish with all that runs on it; nobody is told."""
        if self._outer.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self._outer.communicate()  # ends after the last process of the host
        for process in self._started:
            kill(process)


class Lan:
    """Hosts on one network, and the hub in its middle.

    Attributes:
        hub: Has servers for all; no host of the cluster.
        hosts: The others.
    """

    def __init__(self, hub: Host, hosts: Sequence[Host]) -> None:
        self.hub, self.hosts = hub, tuple(hosts)
        _wires("lay", hub.pid, NETWORK, *(host.pid for host in hosts))

    def cut(self, host: Host) -> None:
        """Pull the host's cable: packets vanish, and nobody is told."""
        _wires("down", self.hub.pid, self.hosts.index(host))

    def mend(self, host: Host) -> None:
        """Put the cable in again."""
        _wires("up", self.hub.pid, self.hosts.index(host))


@contextmanager
def lan(count: int, folder: Path, *, shared: Sequence[Path] = ()) -> Iterator[Lan]:
    """Hosts a, b, c, ... which see nothing of `folder` but what is shared.

    Args:
        count: How many, besides the hub.
        folder: The test's folder; what the hosts see there is empty, and each one's own.
        shared: Folders within it that all of them see, the hub too, as a network share.
    """
    _skip_unless_possible()
    for each in shared:
        each.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        hosts = []
        for number, name in enumerate(["hub", *"abcdefgh"[:count]]):
            ip = f"{NETWORK}.{9 + number if number else 1}"
            host = Host(name, ip, folder / "hosts" / name, folder, shared)
            stack.callback(host.kill)
            hosts.append(host)
        yield Lan(hosts[0], hosts[1:])


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill -9 a program and all of its process group."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(
    condition: Callable[[], object], what: str, *, seconds: float = GRACE_S, every: float = 0.2
) -> None:
    """Wait for something to become true; otherwise fail and say what did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"within {seconds:g} s: {what}"
        time.sleep(every)


def _wires(*words: object) -> None:
    subprocess.run([sys.executable, HERE / "wires.py", *map(str, words)], check=True)


def _skip_unless_possible() -> None:
    try:
        done = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
        reason = done.stderr.strip()
    except FileNotFoundError as error:
        reason = str(error)
    if reason:
        pytest.skip(f"hosts need root and namespaces: {reason}")
