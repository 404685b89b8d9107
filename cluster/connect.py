"""Joins a Ray cluster, or starts one in this machine for as long as the study runs."""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import ray

from phylon.search.errors import ConfigurationError

ADDRESS = "RAY_ADDRESS"


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Use the Ray that this process is connected to, else that at ``RAY_ADDRESS``, else an own one.

    What was started or joined here is left again at the end.

    Raises:
        ConfigurationError: Nothing answers at ``RAY_ADDRESS``.
    """
    if ray.is_initialized():
        yield
        return
    address = os.environ.get(ADDRESS, "local")
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except SystemExit as error:  # Ray's answer to SIGTERM while it starts
        raise KeyboardInterrupt from error
    except ConnectionError as error:
        raise ConfigurationError(
            f"no Ray cluster answers at {ADDRESS}={address}; start it, correct the address, or "
            f"unset {ADDRESS} to run on this machine alone"
        ) from error
    _take_back_sigterm()
    try:
        yield
    finally:
        ray.shutdown()


def _take_back_sigterm() -> None:
    """Put Python's handler in force again; Ray puts one in its place that aborts the process."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


def ray_bundle(resources: Mapping[str, float]) -> dict[str, float]:
    """Return `cpus` and `gpus` as Ray calls them, cut to its steps of 1/10,000.

    Ray itself would round 1/7 up, and only six of seven candidates would fit.
    """
    names = {"CPU": "cpus", "GPU": "gpus"}
    return {name: math.floor(resources[key] * 1e4 + 1e-6) / 1e4 for name, key in names.items()}


def count_slots(bundle: Mapping[str, float]) -> int:
    """Return how many candidates the connected cluster can run at once.

    Args:
        bundle: What one candidate holds, as Ray calls it.

    Raises:
        ConfigurationError: Not even one fits on any node.
    """
    every = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = [node["Resources"] for node in every if node["Alive"]]
    slots = sum(_fits(node, bundle) for node in nodes)
    if not slots:
        most = {name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in bundle}
        key = "cpus" if bundle["CPU"] > most["CPU"] else "gpus"
        raise ConfigurationError(
            f"resources.{key}: a candidate asks for {bundle['CPU']:g} cpus and {bundle['GPU']:g} "
            f"gpus, but the largest node has {most['CPU']:g} cpus and {most['GPU']:g} gpus; ask "
            f"for less"
        )
    return slots


def _fits(node: Mapping[str, float], needs: Mapping[str, float]) -> int:
    counts = [int(node.get(name, 0.0) / need + 1e-6) for name, need in needs.items() if need]
    return min(counts)
