"""`phylon ui`: MLflow's own web pages on a study's runs."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlsplit

import click

from phylon.cluster.location import Location
from phylon.errors import ConfigurationError, StudyError
from phylon.events import Created
from phylon.journal import JournalReader
from phylon.mlflow_client import DATABASE, NO_TRACKING, artifact_location, default_uri
from phylon.mlflow_notes import TRAINING_MODE
from phylon.mlflow_record import STUDY, latest_record
from phylon.mlflow_trouble import public
from phylon.signals import calling_on_signal
from phylon.study import JOURNAL

HOST = "127.0.0.1"
FIRST_PORT = 5000
STOP_S = 10.0
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class _Place:
    """Where runs are, and the page of a study there.

    Attributes:
        uri: The MLflow server or database.
        page: Fragment of the page's address.
    """

    uri: str
    page: str = "/#/experiments"


def serve_ui(location: Location, port: int | None = None) -> None:
    """Show the runs of a study, or of all studies in a storage folder, until interrupted.

    If they are on a server, print its address and return.

    Args:
        location: Where a study lives, or a storage folder.
        port: Where to serve on this machine; None for the first that is free from 5000 on.

    Raises:
        ConfigurationError: There is nothing to show, or the port is taken.
        StudyError: MLflow did not start.
    """
    place = _find(location)
    if place.uri.startswith(("http://", "https://", "databricks")):
        click.echo(f"{public(place.uri).rstrip('/')}{place.page}{_way_to(place)}")
        return
    port = _free_port() if port is None else _checked_port(port)
    stop = threading.Event()
    with (
        calling_on_signal(lambda _: stop.set()),
        tempfile.TemporaryFile() as log,
        _server(place.uri, port, log) as process,
    ):
        click.echo(f"Starting MLflow on {public(place.uri)} ...", err=True)
        if _wait_until_up(process, port, stop):
            address = f"http://{HOST}:{port}{place.page}"
            click.echo(f"{address}{_way_here(port)}\nCtrl-C ends it.")
        while process.poll() is None and not stop.wait(POLL_S):
            pass
        if not stop.is_set():
            log.seek(0)
            said = log.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise StudyError(f"MLflow's server ended by itself: {said}")


def _wait_until_up(process: subprocess.Popen[bytes], port: int, stop: threading.Event) -> bool:
    while process.poll() is None and not _is_up(port):
        if stop.wait(POLL_S):
            return False
    return process.poll() is None


def _find(location: Location) -> _Place:
    """Return where the runs of a folder are.

    Raises:
        ConfigurationError: There is neither a study nor a database, or the study is not tracked.
    """
    journal = location / JOURNAL
    reader = JournalReader(journal.filesystem, journal.path)
    created = next(reader.read(), None)
    if isinstance(created, Created):
        return _study_place(location, created.config["tracking"]["uri"])
    if location.local and (location.local / DATABASE).exists():
        return _Place(default_uri(location.local))
    raise ConfigurationError(
        f"{location} holds neither a study nor the runs of any ({DATABASE}); name a study's "
        f"folder, or the storage folder around it"
    )


def _study_place(location: Location, configured: str | None) -> _Place:
    record = latest_record(location)
    local = location.parent.local
    uri = record.uri or configured or (default_uri(local) if local else NO_TRACKING)
    if uri == NO_TRACKING:
        raise ConfigurationError(
            f"{location} is not tracked (`tracking.uri: none`); to have its runs in MLflow: "
            f"`phylon sync {location} --tracking URI`"
        )
    if not record.experiment:
        return _Place(uri)
    run = f"/runs/{record.runs[STUDY]}" if STUDY in record.runs else ""
    return _Place(uri, f"/#/experiments/{record.experiment}{run}?{TRAINING_MODE}")


def _way_to(place: _Place) -> str:
    """Return how a browser elsewhere gets to a server that only this machine or cluster knows."""
    parts = urlsplit(place.uri)
    host, port = parts.hostname or "", parts.port or 80
    if host in (HOST, "localhost"):
        return _way_here(port)
    service, _, rest = host.partition(".")
    is_service = not rest or rest.partition(".")[2] in ("svc", "svc.cluster.local")
    if not is_service or "KUBERNETES_SERVICE_HOST" not in os.environ:
        return ""
    namespace = f"-n {rest.partition('.')[0]} " if rest else ""
    return (
        f"\nFrom outside of Kubernetes: kubectl port-forward {namespace}service/{service} "
        f"{port}:{port}; then http://{HOST}:{port}{place.page}"
    )


def _way_here(port: int) -> str:
    """Return how a browser elsewhere gets to this machine, if it was reached by SSH.

    The server listens to this machine alone: whoever can reach it may delete runs.
    """
    here = os.environ.get("SSH_CONNECTION", "").split()
    if len(here) != 4:  # the client's address and port, then those of this end
        return ""
    host, sshd = here[2:]
    option = "" if sshd == "22" else f"-p {sshd} "
    return (
        f"\nTo see it from where you came, run there and leave running: "
        f"ssh -N {option}-L {port}:{HOST}:{port} {getpass.getuser()}@{host}"
    )


def _free_port() -> int:
    return next(port for port in range(FIRST_PORT, 65536) if _is_free(port))


def _checked_port(port: int) -> int:
    if _is_free(port):
        return port
    raise ConfigurationError(
        f"port {port} is taken by another program; name another one, or none to have a free "
        f"one found"
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


@contextmanager
def _server(uri: str, port: int, log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run MLflow's server in a process group of its own, and end all of it."""
    location = artifact_location(uri)
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    command += ["--workers", "1"]
    command += ["--default-artifact-root", location] if location else []
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,  # Not on the command line: it may hold a password.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    process = subprocess.Popen(
        command, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        yield process
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    for number, patience in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, STOP_S)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return


def _is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
