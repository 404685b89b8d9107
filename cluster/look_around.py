"""What is seen from a node; it travels there whole, since a node may lack phylon, or have another.

So nothing here may need phylon before it is called.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
from pathlib import Path
from typing import Any

PACKAGES = ("ray", "torch", "phylon", "pytorch-lightning", "numpy")
_PARTS = ("phylon", "phylon.search", "phylon.trainables", "phylon.cluster")
_GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def look_around(marker: str) -> dict[str, Any]:
    """Return what is installed, the bytes of the smallest GPU, and the word in a file.

    Args:
        marker: Path or URI of the file.
    """
    return {**installed(), **_read(marker), "gpu_memory": smallest_gpu()}


def installed() -> dict[str, Any]:
    """Return `versions` by package, empty for what is missing, and a digest of phylon, `source`."""
    versions = {name: _version(name) for name in PACKAGES}
    versions["python"] = platform.python_version()
    return {"versions": versions, "source": _digest() if versions["phylon"] else ""}


def has_gpu_driver() -> bool:
    """Whether this machine can have GPUs at all; what Ray counts may be made up."""
    return any(Path(device).exists() for device in _GPU_DRIVERS)


def smallest_gpu() -> int:
    """Return its bytes, 0 if there is no GPU; this process then holds a part of them."""
    if not has_gpu_driver():
        return 0
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":  # hidden by Ray, not by the node's owner
        del os.environ["CUDA_VISIBLE_DEVICES"]
    try:
        from torch import cuda
    except ImportError:
        return 0
    sizes = [cuda.get_device_properties(i).total_memory for i in range(cuda.device_count())]
    return min(sizes, default=0)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _digest() -> str:
    digest = hashlib.sha256()
    for part in _PARTS:
        spec = importlib.util.find_spec(part)
        folders = spec.submodule_search_locations if spec else None
        for path in sorted(Path(next(iter(folders or ()), "")).glob("*.py")):
            digest.update(f"{part}/{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _read(marker: str) -> dict[str, str]:
    try:
        from phylon.cluster.location import Location

        return {"word": Location(marker).read().decode()}
    except Exception as error:  # noqa: BLE001 - an old phylon, a store without credentials, ...
        return {"reason": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}
