"""`phylon cluster`: real nodes come up, are what was asked for, and go without a trace."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

PHYLON = [sys.executable, "-c", "import sys; from phylon.cli import main; sys.exit(main())"]
SEE = """\
import json, ray
ray.init(logging_level="ERROR")
gpus = ray.remote(num_gpus=0.5)(lambda: ray.get_gpu_ids())
print(json.dumps([[n["Resources"] for n in ray.nodes() if n["Alive"]], ray.get(gpus.remote())]))
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclass
class Desk:
    """A user's own home, with ports of its own."""

    home: Path
    ports: list[int]

    @property
    def environment(self) -> dict[str, str]:
        own = {"HOME": str(self.home), "TMPDIR": str(self.home / "t"), "COLUMNS": "120"}
        left_out = ("RAY_AUTH_MODE", "RAY_ADDRESS", "XDG_STATE_HOME")
        return {**{k: v for k, v in os.environ.items() if k not in left_out}, **own}

    @property
    def record(self) -> Path:
        return self.home / ".local" / "state" / "phylon" / "cluster.json"

    def nodes(self) -> list[dict[str, Any]]:
        return json.loads(self.record.read_text())["nodes"] if self.record.exists() else []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        port, dashboard_port = map(str, self.ports)
        ports = ["--port", port, "--dashboard-port", dashboard_port] if "up" in arguments else []
        return subprocess.Popen(
            [*PHYLON, "cluster", *arguments, *ports],
            env=self.environment, cwd=self.home, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=240)
        return process.returncode, out, err

    def processes(self) -> list[psutil.Process]:
        """Return all processes that have to do with a cluster of this desk."""
        found = []
        for process in psutil.process_iter():
            try:
                words = " ".join(process.cmdline())
                is_ours = str(self.home) in words or process.cwd().startswith(str(self.home))
                if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def remains(self) -> list[object]:
        """Return what a cluster may have left behind: processes, its record, its folder."""
        record = [self.record] if self.record.exists() else []
        return [*self.processes(), *record, *self.temporary]

    @property
    def temporary(self) -> list[Path]:
        return list((self.home / "t").glob("*"))


@pytest.fixture
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    # Not tmp_path: the paths of Ray's sockets may have no more than 107 bytes.
    home = tmp_path_factory.mktemp("d")
    short = Path("/tmp") / f"phy-{os.getpid()}"
    short.symlink_to(home)
    desk = Desk(short, free_ports(2))
    (home / "t").mkdir()
    try:
        yield desk
    finally:
        desk.run("down")
        short.unlink()


def exports(told: str) -> dict[str, str]:
    return dict(re.findall(r"(RAY_\w+)=(\S+)", told))


def test_nodes_come_up_as_asked_for_and_go_without_a_trace(desk: Desk) -> None:
    code, told, complaint = desk.run("up", "--nodes", "2", "--cpus", "3", "--gpus", "1")
    assert code == 0, complaint
    token = desk.home / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o777 == 0o600
    environment = {**desk.environment, **exports(told)}
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_API_SERVER_ADDRESS"] == f"http://127.0.0.1:{desk.ports[1]}"

    seen = subprocess.run(
        [sys.executable, "-c", SEE], env=environment, capture_output=True, text=True, check=True
    )
    resources, gpus = json.loads(seen.stdout.splitlines()[-1])
    assert [(each["CPU"], each["GPU"]) for each in resources] == [(3.0, 1.0)] * 2
    assert all(each["memory"] > 1e8 for each in resources)
    assert gpus == [0]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{desk.ports[1]}/api/jobs/")

    code, told, _ = desk.run("status")
    assert code == 0
    assert len(re.findall(r"3 of 3 +1 of 1", told)) == 2
    assert exports(told)["RAY_ADDRESS"] == environment["RAY_ADDRESS"]

    code, _, complaint = desk.run("up", "--nodes", "2")
    assert code == 2
    assert "end it first: `phylon cluster down`" in complaint
    assert len(desk.nodes()) == 2

    code, told, _ = desk.run("down")
    assert (code, told) == (0, "the cluster is down\n")
    assert not desk.remains()
    assert desk.run("down")[:2] == (0, "no local cluster is up\n")
    assert desk.run("status")[0] == 2


def test_a_stale_record_kills_no_stranger(desk: Desk) -> None:
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        began = psutil.Process(stranger.pid).create_time()
        desk.record.parent.mkdir(parents=True)
        wanted = {"nodes": 1, "cpus": 1, "gpus": 0, "port": 6379, "dashboard_port": 8265}
        record = {"wanted": wanted, "folder": str(desk.home / "t" / "gone"), "auth": "token"}
        record["nodes"] = [{"pid": stranger.pid, "started": began - 60}]
        desk.record.write_text(json.dumps({**record, "address": "127.0.0.1:6379"}))
        assert desk.run("status")[0] == 2
        assert desk.run("down")[:2] == (0, "the cluster is down\n")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_taken_port_is_refused_before_anything_starts(desk: Desk) -> None:
    with socket.create_server(("", desk.ports[1])):
        code, _, complaint = desk.run("up", "--nodes", "1")
    assert code == 2
    assert f"port {desk.ports[1]} is taken" in complaint
    assert "--dashboard-port" in complaint
    assert not desk.remains()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("nodes", [1, 2])
def test_an_interrupted_up_leaves_nothing(desk: Desk, number: int, nodes: int) -> None:
    process = desk.start("up", "--nodes", "2")
    wait_for(lambda: len(desk.nodes()) == nodes)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not desk.remains()


@pytest.mark.slow
def test_what_a_killed_up_left_is_cleared_by_the_next(desk: Desk) -> None:
    process = desk.start("up", "--nodes", "2")
    wait_for(lambda: len(desk.nodes()) == 1)
    process.kill()
    process.communicate()
    left = desk.nodes()[0]["pid"]
    assert psutil.pid_exists(left)
    assert desk.run("up", "--nodes", "1")[0] == 0
    assert left not in [process.pid for process in desk.processes()]
    assert len(desk.temporary) == 1


@pytest.mark.slow
def test_a_node_that_does_not_start_takes_the_others_with_it(desk: Desk) -> None:
    process = desk.start("up", "--nodes", "2")
    wait_for(lambda: len(desk.nodes()) == 2)
    os.kill(desk.nodes()[1]["pid"], signal.SIGKILL)
    _, complaint = process.communicate(timeout=120)
    assert process.returncode == 3
    assert "a Ray node ended while it started" in complaint
    assert not desk.remains()


@pytest.mark.slow
def test_a_lost_node_is_told_and_a_job_goes_down_with_the_cluster(desk: Desk) -> None:
    told = desk.run("up", "--nodes", "2")[1]
    job = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--no-wait"]
    environment = {**desk.environment, **exports(told)}
    subprocess.run([*job, "--", "sleep", "654321"], env=environment, check=True)
    wait_for(sleeping)
    os.kill(desk.nodes()[1]["pid"], signal.SIGKILL)
    wait_for(lambda: "1 of 2 nodes are gone" in desk.run("status")[1])
    assert desk.run("down")[0] == 0
    assert not desk.remains()
    assert not sleeping()


def sleeping() -> bool:
    return any(p.info["cmdline"] == ["sleep", "654321"] for p in psutil.process_iter(["cmdline"]))


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
