"""How busy the driver's machine is, in MLflow's own words: the system metrics of a study's run.

MLflow's `SystemMetricsMonitor` has a thread of its own, asks the server every ten seconds, and ends
for good when it does not answer. So only what it measures with is used, by the tracker's thread,
and its means wait here until they are sent with the rest.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple, final

from phylon.mlflow_writes import Point, milliseconds, points

log = logging.getLogger(__name__)

EVERY_S = 10.0
SAMPLES = 6
"""Samples of which the mean is sent."""
MOST = 1440
"""Means that wait for MLflow: a day's; then the oldest is forgotten."""


class _Mean(NamedTuple):
    """Values by the names that MLflow gives them, at `time` in seconds since the epoch."""

    time: float
    values: dict[str, float]


@final
class MachineMeter:
    """Measures CPU, memory, disk, network and GPUs of this machine, every ten seconds.

    What cannot be measured here is left out.

    Use it from one thread; the first sample imports MLflow.
    """

    def __init__(self) -> None:
        self._monitors: list[Any] | None = None  # MLflow's, which are not typed
        self._due = 0.0
        self._samples = 0
        self._is_over = False
        self._means: deque[_Mean] = deque(maxlen=MOST)

    def sample(self, *, is_last: bool = False) -> None:
        """Take a sample if one is due.

        Args:
            is_last: Whether it is the last, which is taken at once, and ends the sampling.
        """
        if self._is_over:
            return
        if self._monitors is None:
            self._monitors = _monitors()
            self._due = time.monotonic() + EVERY_S
        if time.monotonic() >= self._due or is_last:
            self._monitors = [each for each in self._monitors if _collects(each)]
            self._due = time.monotonic() + EVERY_S
            self._samples += 1
        if self._samples == SAMPLES or is_last:
            self._close_mean(self._monitors)
        self._is_over = is_last

    def points(self, since: float) -> list[Point]:
        """Return what is to be sent, at the seconds since the study began as steps.

        Args:
            since: When it did, in seconds since the epoch.
        """
        return [
            point
            for mean in self._means
            for point in points(mean.values, milliseconds(mean.time), int(mean.time - since))
        ]

    def forget(self) -> None:
        """Forget what `points` returned: it was sent."""
        self._means.clear()

    def _close_mean(self, monitors: Sequence[Any]) -> None:
        values: dict[str, float] = {}
        for monitor in monitors:
            means = monitor.aggregate_metrics()
            values |= {f"system/{name}": float(value) for name, value in means.items()}
            monitor.clear_metrics()
        self._means.append(_Mean(time.time(), values))
        self._samples = 0


def _monitors() -> list[Any]:
    import psutil
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    psutil.cpu_percent()  # what the first sample is the difference to
    monitors = []
    kinds: list[Any] = [CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor]
    for kind in kinds:
        # Many machines have no GPU, no driver, or no package to ask it with; some no network.
        with suppress(Exception):
            monitors.append(kind())
    return monitors


def _collects(monitor: Any) -> bool:  # noqa: ANN401
    """Have a monitor take a sample; return whether it could, else nothing is expected of it."""
    try:
        monitor.collect_metrics()
    except Exception as error:  # noqa: BLE001 - they raise whatever their libraries do
        log.info("%s cannot measure this machine: %s", type(monitor).__name__, error)
        return False
    return True
