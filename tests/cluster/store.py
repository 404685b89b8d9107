"""An object store of our own, and a gate before it that can be shut."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from phylon.cluster.location import Location

ENV = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Store:
    """A moto server in a process group of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.bucket = "none"

    def new_bucket(self) -> None:
        self.bucket = f"bucket-{uuid.uuid4().hex[:8]}"
        url = f"http://127.0.0.1:{self.port}/{self.bucket}"
        urllib.request.urlopen(urllib.request.Request(url, method="PUT")).close()

    def remove_bucket(self) -> None:
        """Remove the bucket, which must be empty."""
        url = f"http://127.0.0.1:{self.port}/{self.bucket}"
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()

    def location(self, name: str = "study", *, port: int | None = None) -> Location:
        """Return a place in the bucket, through the gate at `port` if there is one."""
        query = f"endpoint_override=http://127.0.0.1:{port or self.port}&region=us-east-1"
        return Location(f"s3://{self.bucket}/studies?{query}") / name


@contextmanager
def moto() -> Iterator[Store]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 60
        while not listens(port):
            assert process.poll() is None, "moto does not start"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Store(port)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def answering(status: int) -> Iterator[int]:
    """Serve a store that gives everybody the same answer, and return its port."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


class Gate:
    """Passes connections on to a port of this machine, as long as it is open."""

    def __init__(self, to: int) -> None:
        self.port = free_port()
        self._to = to
        self._passing: list[socket.socket] = []
        self._listener: socket.socket | None = None

    @property
    def is_open(self) -> bool:
        return self._listener is not None

    def open(self) -> None:
        self._listener = listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse new connections, and cut those that are."""
        if self._listener:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for end in self._passing:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._passing.clear()

    def shut_for(self, seconds: float) -> None:
        """Shut it now and open it later, and return at once."""
        self.shut()
        threading.Timer(seconds, self.open).start()

    def __enter__(self) -> Gate:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near = listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            self._passing += near, far
            threading.Thread(target=_pass, args=(near, far), daemon=True).start()


def _pass(*ends: socket.socket) -> None:
    with closing(ends[0]), closing(ends[1]), suppress(OSError):
        while True:
            for end in select.select(ends, (), ())[0]:
                data = end.recv(1 << 16)
                if not data:
                    return
                ends[end is ends[0]].sendall(data)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
