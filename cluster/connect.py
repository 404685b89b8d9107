"""Joins a Ray cluster, or starts one in this machine for as long as the study runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import ray

from phylon.search.errors import ConfigurationError

ADDRESS = "RAY_ADDRESS"


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Use the Ray that this process is connected to, else the one at ``RAY_ADDRESS``, else an own one.

    What was started or joined here is left again at the end.

    Raises:
        ConfigurationError: Nothing answers at ``RAY_ADDRESS``.
    """
    if ray.is_initialized():
        yield
        return
    address = os.environ.get(ADDRESS, "local")
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address == "local":
            ray.init(address=address, include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except ConnectionError as error:
        raise ConfigurationError(
            f"no Ray cluster answers at {ADDRESS}={address}; start it, correct the address, or unset "
            f"{ADDRESS} to run on this machine alone"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def count_slots(resources: Mapping[str, float]) -> int:
    """Return how many candidates the connected cluster can run at once.

    Args:
        resources: ``cpus`` and ``gpus`` of one candidate.

    Raises:
        ConfigurationError: Not even one fits on any node.
    """
    needs = {"CPU": resources["cpus"], "GPU": resources["gpus"]}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    slots = sum(_fits(node, needs) for node in nodes)
    if not slots:
        largest = {
            name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in needs
        }
        raise ConfigurationError(
            f"resources: a candidate asks for {resources['cpus']:g} cpus and {resources['gpus']:g} gpus,"
            f" but the largest node has {largest['CPU']:g} cpus and {largest['GPU']:g} gpus; ask for less"
        )
    return slots


def _fits(node: Mapping[str, float], needs: Mapping[str, float]) -> int:
    counts = [int(node.get(name, 0.0) / need + 1e-6) for name, need in needs.items() if need]
    return min(counts)
