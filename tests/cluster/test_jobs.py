"""Jobs of a real cluster through `JobServer`."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from phylon.cluster.jobs import Job, JobServer
from phylon.search.errors import ConfigurationError, StudyError
from phylon.wheel import write_wheel
from tests.cluster.heads import Head, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning"),  # in Ray
]
SCRIPT = """
import os, signal, sys, time

stops = []
signal.signal(signal.SIGINT, lambda number, _: stops.append(number))
signal.signal(signal.SIGTERM, lambda number, _: stops.append(number))
print("here in", os.environ["PLACE"], flush=True)
while not stops:
    time.sleep(0.1)
time.sleep(6)
print("saved after", signal.Signals(stops[0]).name, flush=True)
"""
Submit = Callable[..., Job]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    with Head(tmp_path_factory.mktemp("home")).running() as head:
        yield head


@pytest.fixture
def server(head: Head, monkeypatch: pytest.MonkeyPatch) -> JobServer:
    from ray._raylet import AuthenticationTokenLoader, Config

    monkeypatch.setenv("HOME", str(head.home))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")  # what is named counts
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
    return JobServer(head.address)


@pytest.fixture
def submit(server: JobServer, tmp_path: Path) -> Submit:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "stubborn.py").write_text(SCRIPT)

    def submit(study: str, entrypoint: str = "python stubborn.py") -> Job:
        env = {"PLACE": "the cluster"}
        wheel = write_wheel(tmp_path)
        return server.submit(study, entrypoint, wheel=wheel, folder=folder, env=env)

    return submit


def test_a_job_has_the_time_to_save_when_it_is_stopped(server: JobServer, submit: Submit) -> None:
    job = submit("stubborn")
    assert (job.id, job.alive) == ("stubborn-1", True)
    wait_until(lambda: "here in the cluster" in server.logs(job), "the job does not start")
    begun = time.monotonic()
    job = server.stop(server.find("stubborn"))
    assert time.monotonic() - begun > 6  # Ray's own patience is 3 s
    assert (job.status, job.alive) == ("STOPPED", False)
    assert "saved after SIGINT" in server.logs(job)


def test_it_can_be_submitted_again_at_once(server: JobServer, submit: Submit) -> None:
    for number in range(1, 5):
        job = submit("quick", f"echo run {number}; exit {number % 2}")
        assert job.number == number
        texts: list[str] = []
        job = server.follow(job, texts.append)
        assert job.exit_code == number % 2
        assert f"run {number}" in "".join(texts)
        assert f"run {number - 1}" not in "".join(texts)
    assert server.find("quick").id == "quick-4"
    assert server.find("quick-2").status == "SUCCEEDED"
    assert [job.number for job in server.jobs() if job.study == "quick"] == [1, 2, 3, 4]


def test_of_two_at_once_one_runs(server: JobServer, submit: Submit) -> None:
    ends: list[object] = []

    def attempt() -> None:
        try:
            ends.append(submit("twins", "sleep 5"))
        except StudyError as error:
            ends.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [end for end in ends if isinstance(end, StudyError)]
    assert len(refused) == 3
    assert all(str(error).startswith("the study is ") for error in refused)
    assert all("as twins-1 already" in str(error) for error in refused)
    assert server.find("twins").number == 1


def test_an_unknown_id_names_the_known(server: JobServer, submit: Submit) -> None:
    submit("known", "true")
    with pytest.raises(ConfigurationError, match=r"no study by the id `unknown`; known: .*known"):
        server.find("unknown")


def test_a_log_is_whole_though_the_line_is_cut(server: JobServer, submit: Submit) -> None:
    job = submit("counting", "for i in $(seq 8); do echo line $i; sleep 1; done")
    texts: list[str] = []
    with cutting_proxy(server.address, seconds=3) as address:
        job = JobServer(address).follow(job, texts.append)
    assert job.status == "SUCCEEDED"
    assert "".join(texts) == server.logs(job)
    assert len(texts) >= 2


@contextmanager
def cutting_proxy(address: str, seconds: float) -> Iterator[str]:
    """Pass bytes on to an address, but no connection lives for longer than some seconds."""
    target = (urlsplit(address).hostname, urlsplit(address).port)

    class Cutter(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            ends = time.monotonic() + seconds
            with socket.create_connection(target) as other:
                sockets = {self.request: other, other: self.request}
                while (left := ends - time.monotonic()) > 0:
                    for ready in select.select(list(sockets), [], [], left)[0]:
                        if not (data := ready.recv(65536)):
                            return
                        sockets[ready].sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Cutter) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
        proxy.shutdown()
