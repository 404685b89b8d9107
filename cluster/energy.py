"""Measures the energy that a candidate takes, where its machine tells: the GPUs, and the CPUs."""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, final

from phylon.cluster.executor import Share

POWERCAP = Path("/sys/class/powercap")
_MOST_WATTS = 500.0  # more than a CPU takes: how soon its counter may have gone round


class Counter(Protocol):
    """Counts the energy that a device has taken."""

    @property
    def span(self) -> float:
        """Joules after which it begins anew."""

    def joules(self) -> float:
        """Return the count.

        Raises:
            OSError, ValueError: It cannot be read.
        """


@final
class EnergyMeter:
    """Measures what its machine takes from now on, as far as a share accounts for it.

    A candidate is charged its part of all that the machine's CPUs take meanwhile, busy or idle,
    which is that of the cores that it holds, and likewise of its GPUs. CPUs tell through Linux's
    powercap (RAPL), mostly to root alone, GPUs through NVML (``pip install nvidia-ml-py``). Nothing
    is estimated: without a GPU's own count nothing is told of a candidate that holds one, without
    that of the CPUs only the GPUs count.

    Args:
        share: What the candidate holds.
        device: ``cpu`` or ``cuda``.
        powercap: Where Linux tells of the CPUs.
    """

    def __init__(self, share: Share, device: str, powercap: Path = POWERCAP) -> None:
        gpus = gpu_counters() if device == "cuda" else ()
        is_told = device != "cuda" or bool(gpus)
        cores = min(share.cpus / (os.cpu_count() or 1), 1.0)
        parts = [(zone, cores) for zone in cpu_counters(powercap)] if is_told else []
        parts += [(gpu, min(share.gpus, 1.0)) for gpu in gpus]
        self._parts: list[tuple[Counter, float]] = parts
        self._taken = 0.0
        self._last: list[float] = []
        self._at = 0.0
        self.look()

    @property
    def joules(self) -> float | None:
        """What the candidate took up to the last look; None if that is not told."""
        return self._taken if self._parts else None

    def look(self) -> None:
        """Read all counters; to be called now and then, since those of CPUs soon go round."""
        if not self._parts:
            return
        try:
            counts = [counter.joules() for counter, _ in self._parts]
        except (OSError, ValueError):
            self._parts = []
            return
        now = time.monotonic()
        for (counter, part), before, count in zip(self._parts, self._last, counts, strict=False):
            if (now - self._at) * _MOST_WATTS >= counter.span:
                self._parts = []  # it may have gone round more than once
                return
            self._taken += part * (count - before + (counter.span if count < before else 0.0))
        self._last, self._at = counts, now


@dataclass(frozen=True, slots=True)
class _Zone:
    """A zone of powercap."""

    file: Path
    span: float

    def joules(self) -> float:
        return int(self.file.read_text()) / 1e6


@functools.cache
def cpu_counters(powercap: Path) -> tuple[Counter, ...]:
    """Return what counts the energy of CPUs and their memory; empty unless all can be read."""
    try:
        return tuple(_zones(powercap))
    except (OSError, ValueError):
        return ()


def _zones(powercap: Path) -> Iterator[Counter]:
    for folder in sorted(powercap.glob("intel-rapl:*")):
        name = (folder / "name").read_text().strip()
        # Zones of cores are parts of their package's, which are parts of the whole machine's.
        if name.startswith("package") or name == "dram":
            span = int((folder / "max_energy_range_uj").read_text()) / 1e6
            zone = _Zone(folder / "energy_uj", span)
            zone.joules()
            yield zone


@dataclass(frozen=True, slots=True)
class _Gpu:
    """A GPU, as NVML knows it."""

    nvml: Any
    handle: Any
    span: float = math.inf

    def joules(self) -> float:
        try:
            return float(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)) / 1e3
        except self.nvml.NVMLError as error:
            raise OSError(str(error)) from error


@functools.cache
def gpu_counters() -> tuple[Counter, ...]:
    """Return what counts the energy of this process's GPUs; empty unless all tell it."""
    try:
        nvml, cuda = import_module("pynvml"), import_module("torch").cuda
        nvml.nvmlInit()
        ids = [cuda.get_device_properties(n).uuid for n in range(cuda.device_count())]
        gpus = [_Gpu(nvml, nvml.nvmlDeviceGetHandleByUUID(f"GPU-{each}")) for each in ids]
        for gpu in gpus:
            gpu.joules()
    except Exception:  # noqa: BLE001 - drivers differ, and a candidate does not depend on it
        return ()
    return tuple(gpus)
