"""Where candidates run: in this process, or as Ray Tune trials with fractions of CPUs and GPUs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_EXPORTS = {
    "SerialExecutor": "phylon.cluster.serial",
    "TuneExecutor": "phylon.cluster.tune_executor",
}
__all__ = ["SerialExecutor", "TuneExecutor"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
