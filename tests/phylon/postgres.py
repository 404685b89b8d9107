"""A PostgreSQL of its own for a test, on a free port, that leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.phylon.tracking import free_port

_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_USER = "postgres"
"""PostgreSQL refuses to run as root; Debian's package brings this user."""


def _program(name: str) -> str:
    path = os.pathsep.join([*map(str, _PLACES), os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"PostgreSQL is not on this machine (no `{name}`): apt install postgresql")
    return found


@contextmanager
def postgres() -> Iterator[str]:
    """Run a database and yield its URI; skip the test where there is no PostgreSQL."""
    initdb, ctl = _program("initdb"), _program("pg_ctl")
    folder, port = Path(tempfile.mkdtemp(prefix="phylon-pg-", dir="/tmp")), free_port()
    user: dict[str, str] = {}
    if os.geteuid() == 0:
        user = {"user": _USER}
        shutil.chown(folder, _USER)

    def run(*command: str) -> None:
        subprocess.run(
            command, check=True, cwd=folder, timeout=120, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, **user,
        )  # fmt: skip

    data = str(folder / "data")
    try:
        run(initdb, "-D", data, "-U", "mlflow", "-A", "trust", "-E", "UTF8", "--no-sync")
        settings = f"-p {port} -h 127.0.0.1 -k {folder} -F"
        run(ctl, "-D", data, "-w", "-l", str(folder / "log"), "-o", settings, "start")
        try:
            yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
        finally:
            run(ctl, "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
