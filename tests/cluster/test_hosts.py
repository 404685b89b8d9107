"""The hosts that other tests run on are what they say, and leave nothing behind."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.cluster.hosts import Host, lan, wait_until

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 9000), timeout=2)"


def listen(host: Host) -> None:
    host.popen("python", "-m", "http.server", "9000")
    wait_until(lambda: host.listens(9000), "the server does not start")


def can_reach(host: Host, other: Host) -> bool:
    return not host.run("python", "-c", CONNECT, other.ip, code=None)


def test_hosts_have_names_processes_and_folders_of_their_own(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (tmp_path / "secret").touch()
    with lan(2, tmp_path, shared=[shared]) as net:
        a, b = net.hosts
        assert a.run("hostname") == "a\n"
        a.run("touch", shared / "seen-by-all", tmp_path / "mine", "/dev/shm/mine")
        assert b.run("ls", tmp_path, shared, "/dev/shm").split() == [
            "/dev/shm:", f"{tmp_path}:", "shared", f"{shared}:", "seen-by-all",
        ]  # fmt: skip
        listen(a)
        assert "python" in a.processes().values()
        assert list(b.processes()) == [b.pid]
    assert (shared / "seen-by-all").exists()


def test_a_cable_can_be_cut_and_mended_and_a_host_can_vanish(tmp_path: Path) -> None:
    with lan(2, tmp_path) as net:
        a, b = net.hosts
        for host in (a, net.hub):
            listen(host)
            assert can_reach(b, host)
        net.cut(a)
        assert not can_reach(b, a)
        assert can_reach(a, a)
        assert can_reach(b, net.hub)
        net.mend(a)
        assert can_reach(b, a)
        a.kill()
        assert not can_reach(b, a)
        assert not Path(f"/proc/{a.pid}").exists()


BODY = """
    import sys, time
    from pathlib import Path
    from tests.cluster.hosts import lan

    folder = Path(sys.argv[1])
    with lan(2, folder, shared=[folder / "shared"]) as net:
        for host in net.hosts:
            host.popen("bash", "-c", "setsid sleep 1000 & disown; sleep 1000")
        time.sleep(0.5)
        print(*[pid for host in (net.hub, *net.hosts) for pid in host.processes()], flush=True)
        if sys.argv[2] == "raise":
            raise SystemExit(3)
        time.sleep(1000)
"""


@pytest.mark.parametrize("end", ["raise", "kill -9"])
def test_nothing_is_left_however_a_test_ends(tmp_path: Path, end: str) -> None:
    test = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BODY), tmp_path, end], stdout=subprocess.PIPE
    )
    assert test.stdout
    pids = test.stdout.readline().split()
    assert len(pids) > 6
    if end == "kill -9":
        test.kill()
    test.communicate()
    wait_until(
        lambda: not [pid for pid in pids if Path(f"/proc/{int(pid)}").exists()],
        "processes are left",
        seconds=30,
    )
    assert not {name for _, name in socket.if_nameindex()} & {"hub", "cable0", "cable1"}
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
