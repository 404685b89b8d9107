"""A Ray cluster of one head that takes jobs, asks for a token, and shares nothing with others."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PORTS = (
    "port", "dashboard-port", "ray-client-server-port", "node-manager-port", "object-manager-port",
    "dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port",
    "metrics-export-port",
)  # fmt: skip
BIN = Path(sys.executable).parent


class Head:
    """A head and its clients, which have a home with the token.

    Args:
        home: Their home.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / ".ray").mkdir(parents=True, exist_ok=True)
        token = home / ".ray" / "auth_token"
        if not token.exists():
            token.write_text(secrets.token_hex(32))
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("RAY_")},
            "HOME": str(home),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self._ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        self.address = f"http://127.0.0.1:{self._ports['dashboard-port']}"

    @contextmanager
    def running(self) -> Iterator[Head]:
        """Start the head, and end all its processes."""
        mark = uuid.uuid4().hex
        options = [f"--{name}={port}" for name, port in self._ports.items()]
        with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as scratch:
            log = self.home / "ray.log"
            with log.open("ab") as output:
                process = subprocess.Popen(
                    [
                        BIN / "ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1",
                        "--num-cpus=1", "--object-store-memory=83886080", f"--temp-dir={scratch}",
                        "--min-worker-port=0", "--max-worker-port=0", *options,
                    ],
                    env={**self.env, "PHYLON_TEST_MARK": mark}, stdout=output, stderr=output,
                    start_new_session=True,
                )  # fmt: skip
            try:
                self._wait_until_up(process, log)
                yield self
            finally:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                _kill_all(mark)
                process.wait()

    def phylon(self, *words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; an address is filled in."""
        command, *rest = words
        return subprocess.run(
            [BIN / "phylon", command, "--address", self.address, *rest],
            cwd=cwd, env={**self.env, **env}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def _wait_until_up(self, process: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + 300
        while not self._is_up():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)

    def _is_up(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.address}/api/version", timeout=2).close()
        except urllib.error.HTTPError as answer:
            return answer.code == 401  # it wants a token
        except OSError:
            return False
        return True


def wait_until(happened: Any, what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _kill_all(mark: str) -> None:
    """Kill the processes that carry a mark in their environment, and wait until they are gone."""
    deadline = time.monotonic() + 30
    while found := [path for path in Path("/proc").glob("[0-9]*") if _carries(path, mark)]:
        assert time.monotonic() < deadline, found
        for path in found:
            with suppress(ProcessLookupError):
                os.kill(int(path.name), signal.SIGKILL)
        time.sleep(0.1)


def _carries(process: Path, mark: str) -> bool:
    try:
        return mark.encode() in (process / "environ").read_bytes()
    except OSError:
        return False
