"""What a study ran on: the versions, code and hardware that decide whether it can be repeated."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("phylon", "ray", "torch", "pytorch-lightning", "mlflow", "pyarrow", "numpy")
_PATIENCE_S = 5.0
_CPUS = Path("/proc/cpuinfo")
_GPUS = Path("/proc/driver/nvidia/gpus")


def versions() -> dict[str, str]:
    """Return the versions of Python, the operating system, and the packages that matter."""
    packages = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "system": platform.platform(), **packages}


def revision(folder: Path) -> dict[str, Any]:
    """Return the git commit that a folder is at, and whether files that git knows were `modified`.

    Empty if there is no git or no commit, or git takes longer than a few seconds.
    """
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return {}
    return {"commit": commit, "modified": bool(changes)}


def _git(folder: Path, *words: str) -> str | None:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()


def machine() -> dict[str, Any]:
    """Return the hardware of this machine: `cpu`, `cores`, `memory` in bytes, `gpus` by name."""
    return {
        "cpu": _field(_CPUS, "model name") or platform.machine(),
        "cores": os.cpu_count() or 0,
        "memory": psutil.virtual_memory().total,
        "gpus": list(_gpus()),
    }


def _gpus() -> Iterator[str]:
    """Yield the names of NVIDIA's GPUs, as its driver tells them."""
    for file in sorted(_GPUS.glob("*/information")):
        yield _field(file, "Model") or "unknown"


def _field(file: Path, name: str) -> str:
    """Return what a file of the kernel's says after ``name:``, the first time; empty if nothing."""
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return ""
    found = re.search(rf"^{name}\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""
