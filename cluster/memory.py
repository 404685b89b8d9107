"""Keeps a candidate to its share of memory, and measures what it takes of it."""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import resource
import sys
from pathlib import Path
from typing import Any, final

from phylon.cluster.executor import Share

SLACK = 128 * 2**20
"""Bytes that a process may reserve beyond the share: Ray's threads get by with them."""

_MOST_CONTEXT = 2**30
_LAG = 2**20  # Linux counts pages per CPU and sums them up now and then: its peak is a little low
_GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


@final
class Cap:
    """Holds this process to a share of memory for as long as it is entered, and measures it.

    What is asked for beyond the share is refused, so the evaluation meets a `MemoryError`, or what
    torch makes of it, and the process lives on. On a GPU it is torch's allocator that refuses; of
    the node's memory it is Linux, which bounds the data of a process (`RLIMIT_DATA`). A share
    covers all that the process holds, also what it held before: libraries, and CUDA's own memory
    on the device.

    Nothing is bounded or measured but a number of bytes and a GPU, or a part of one.

    Args:
        share: What the candidate holds.
        device: ``cpu`` or ``cuda``.

    Attributes:
        peak: Bytes that were held at most, of the GPU if there is one; known after the exit.
    """

    def __init__(self, share: Share, device: str) -> None:
        self.peak = 0
        has_gpu = device == "cuda" and 0 < share.gpus <= 1 and _has_torch_a_gpu()
        self._gpu = _Gpu(share.gpus) if has_gpu else None
        self._host = _Host(share.memory) if share.memory and sys.platform == "linux" else None

    def __enter__(self) -> None:
        if self._gpu:
            self._gpu.bound()
        if self._host:
            self._host.bound()

    def __exit__(self, *_: object) -> None:
        if self._host:
            self.peak = self._host.free()
        if self._gpu:
            self.peak = self._gpu.free()

    @property
    def is_planned(self) -> bool:
        """Whether there is anything to keep to."""
        return self._gpu is not None or self._host is not None

    def tidy(self) -> None:
        """Give back what is used no more; to be called when no traceback holds the evaluation."""
        gc.collect()
        if self.is_planned:
            _spare_libraries()
        torch = sys.modules.get("torch")
        if torch and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
        if trim:
            trim(0)


@functools.cache
def _spare_libraries() -> None:
    """Search for garbage among new objects only, from the first call on: 0.2 s become nothing."""
    gc.freeze()


@final
class _Host:
    """Bounds and measures the anonymous memory of this process."""

    def __init__(self, share: int) -> None:
        self._share = share
        self._limits = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        self._is_measured = False

    def bound(self) -> None:
        self._is_measured = _forget_peak()
        held = _status()
        self._limits = soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        room = max(self._share - held["RssAnon"], 0) + SLACK
        others = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(
            resource.RLIMIT_DATA, (min(held["VmData"] + room, *others, sys.maxsize), hard)
        )

    def free(self) -> int:
        resource.setrlimit(resource.RLIMIT_DATA, self._limits)
        held = _status()
        if not self._is_measured:
            return 0
        return held["VmHWM"] - held["RssFile"] - held["RssShmem"] + _LAG


def _forget_peak() -> bool:
    """Let Linux begin anew with the peak of this process's memory; return whether it does."""
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return False
    return True


def _status() -> dict[str, int]:
    """Return what Linux tells of this process's memory, in bytes."""
    lines = (line.split() for line in _STATUS.read_text().splitlines())
    return {line[0][:-1]: int(line[1]) * 1024 for line in lines if line[-1] == "kB"}


@final
class _Gpu:
    """Bounds and measures what torch's allocator holds of the device."""

    def __init__(self, part: float) -> None:
        self._part = part
        self._context = 0

    def bound(self) -> None:
        cuda = _cuda()
        cuda.empty_cache()
        cuda.reset_peak_memory_stats()
        free, total = cuda.mem_get_info()
        # Neighbours on the device are in this figure, too; a context is never so large.
        self._context = min(total - free - cuda.memory_reserved(), _MOST_CONTEXT)
        if self._part < 1:
            cuda.set_per_process_memory_fraction(max(self._part - self._context / total, 0.0))

    def free(self) -> int:
        cuda = _cuda()
        if self._part < 1:
            cuda.set_per_process_memory_fraction(1.0)
        return int(cuda.max_memory_reserved()) + self._context


def _has_torch_a_gpu() -> bool:
    """Whether torch is worth importing, and sees a GPU; an evaluator may get by without it."""
    return any(map(os.path.exists, _GPU_DRIVERS)) and bool(_cuda().is_available())


def _cuda() -> Any:  # noqa: ANN401
    import torch

    return torch.cuda
