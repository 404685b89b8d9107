"""What a study ran on: the versions that decide whether it can be repeated."""

from __future__ import annotations

import platform
from importlib.metadata import version

PACKAGES = ("phylon", "ray", "torch", "pytorch-lightning", "mlflow", "pyarrow", "numpy")


def versions() -> dict[str, str]:
    """Return the versions of Python, the operating system, and the packages that matter."""
    packages = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "system": platform.platform(), **packages}
