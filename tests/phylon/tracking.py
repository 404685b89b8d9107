"""Trackers, MLflow servers that die, and a proxy that makes them slow, busy or strict."""

from __future__ import annotations

import http.client
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from phylon.cluster.location import Location
from phylon.mlflow_extras import Extras
from phylon.mlflow_report import ReportArtifact
from phylon.models import Models
from phylon.tracker import Tracker

Answer = tuple[int, Mapping[str, str], bytes]


def tracker_of(
    study: Path | Location, uri: str, models: Models | None = None, register: str | None = None
) -> Tracker:
    """Return a tracker that has been started."""
    location = Location(study) if isinstance(study, Path) else study
    tracker = Tracker(location, uri, Extras(location, models, register))
    tracker.start()
    return tracker


def track(study: Path | Location, uri: str, **settings: Any) -> None:
    """Bring MLflow in step."""
    assert tracker_of(study, uri, **settings).close(120) == 0


def without_report(patch: Callable[..., None] = setattr) -> None:
    """Have the report cost nothing in this process: it is not what is tested."""

    def build(self: Any) -> subprocess.Popen[bytes]:
        self._file.write_text("a report")
        return subprocess.Popen(["true"])

    patch(ReportArtifact, "_build", build)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def runs_of(name: str, client: MlflowClient) -> tuple[Run, dict[int, Run]]:
    """Return a study's run and those of its candidates; each must be there once."""
    experiment = client.get_experiment_by_name(name)
    assert experiment
    runs = client.search_runs([experiment.experiment_id])
    (study,) = [run for run in runs if run.data.tags["phylon.kind"] == "study"]
    children = [run for run in runs if run is not study]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} <= {study.info.run_id}
    by_id = {int(run.data.tags["phylon.id"]): run for run in children}
    assert len(by_id) == len(children)
    return study, by_id


def assert_each_point_once(name: str, count: int, epochs: int, client: MlflowClient) -> None:
    """Check that a made-up study is in MLflow whole, and that no value is there twice."""
    study, children = runs_of(name, client)
    assert sorted(children) == list(range(count))
    assert {run.info.status for run in (study, *children.values())} == {"FINISHED"}
    for number, run in children.items():
        points = client.get_metric_history(run.info.run_id, "accuracy")
        expected = [(step, number + step) for step in range(1, epochs + 1)]
        assert sorted((point.step, point.value) for point in points) == expected
    best = client.get_metric_history(study.info.run_id, "best.accuracy")
    assert sorted(point.step for point in best) == list(range(1, count + 1))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Server:
    """An MLflow server on a port and store that stay the same from start to start.

    Args:
        folder: What holds its artifacts and, unless told, its database.
        store: URI of the database.
    """

    def __init__(self, folder: Path, store: str = "", *options: str) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._store = store or f"sqlite:///{folder}/server.db"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "--backend-store-uri": self._store,
            "--artifacts-destination": f"{self._folder}/artifacts",
            "--host": "127.0.0.1",
            "--port": str(self.port),
            "--workers": "1",
        }
        arguments = [word for option in options.items() for word in option]
        with (self._folder / "server.log").open("ab") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *arguments, *self._options],
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                return True
        except OSError:
            return False

    def wait(self) -> None:
        wait_until(self.is_up, "the server does not start")

    def kill(self) -> None:
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.kill()


class Proxy(http.server.ThreadingHTTPServer):
    """Hands requests on to a server, unless it answers them itself.

    Args:
        server: Port of the server.

    Attributes:
        requests: When each came, by the monotonic clock, and for what.
        answer: Given such a number (from 0), returns what to answer instead of the server.
        spoils: Given such a number, returns whether to do as asked and yet answer 500.
        delay: Seconds that each takes longer.
        host: What the server is told to be called; empty to leave it.
    """

    daemon_threads = True

    def __init__(self, server: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = server
        self.uri = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests: list[tuple[float, str]] = []
        self.answer: Callable[[int], Answer | None] = lambda _: None
        self.spoils: Callable[[int], bool] = lambda _: False
        self.delay = 0.0
        self.host = ""

    def __enter__(self) -> Proxy:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def _hand_on(self) -> None:
        proxy = self.server
        number = len(proxy.requests)
        proxy.requests.append((time.monotonic(), f"{self.command} {self.path}"))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(proxy.delay)
        status, headers, content = proxy.answer(number) or self._ask(body)
        if proxy.spoils(number):
            status, headers, content = 500, {}, b"oops"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _hand_on  # noqa: N815 - the library's names

    def _ask(self, body: bytes) -> Answer:
        proxy = self.server
        connection = http.client.HTTPConnection("127.0.0.1", proxy.behind, timeout=60)
        try:
            headers = dict(self.headers) | ({"Host": proxy.host} if proxy.host else {})
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except OSError:
            return 502, {}, b"the server is away"
        finally:
            connection.close()
        kept = {"Content-Type": answer.headers.get("Content-Type", "application/json")}
        return answer.status, kept, content

    def log_message(self, *_: object) -> None:
        """Say nothing."""
