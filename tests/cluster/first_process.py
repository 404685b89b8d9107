"""The first process of a host: makes its folders, then waits; with it the whole host goes.

Started in fresh namespaces as ``first_process.py NAME OWN FOLDER SHARED...``, see `hosts.py`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

SHM = "size=2g"


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def furnish(own: Path, folder: Path, shared: list[Path]) -> None:
    """Show `own` at /mnt, and at `folder` an empty one of its own but for what is shared."""
    mount("-t", "tmpfs", "-o", SHM, "tmpfs", "/dev/shm")
    seen = own / "seen"
    for each in shared:
        target = seen / each.relative_to(folder)
        target.mkdir(parents=True, exist_ok=True)
        mount("--bind", each, target)
    seen.mkdir(exist_ok=True)
    mount("--bind", own, "/mnt")
    mount("--rbind", seen, folder)
    for name in ("home", "tmp"):
        Path("/mnt", name).mkdir()


def bury(_number: int, _frame: object) -> None:
    """Wait for every process that has ended, whoever started it."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def main() -> None:
    name, own, folder, *shared = sys.argv[1:]
    socket.sethostname(name)
    furnish(Path(own), Path(folder), [Path(each) for each in shared])
    signal.signal(signal.SIGCHLD, bury)
    print("up", flush=True)
    sys.stdin.buffer.read()  # ends when the test does, however that ends


if __name__ == "__main__":
    main()
