"""Joins a Ray cluster, or starts one in this machine for as long as the study runs."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from phylon.search.errors import ConfigurationError

ADDRESS = "RAY_ADDRESS"
PATIENCE_S = 10.0


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Use the Ray that this process is connected to, else that at ``RAY_ADDRESS``, else an own one.

    What was started or joined here is left again at the end.

    Raises:
        ConfigurationError: Nothing answers at ``RAY_ADDRESS``, or this machine is no part of it.
    """
    if ray.is_initialized():
        yield
        return
    address = os.environ.get(ADDRESS, "local")
    if address.startswith("ray://"):
        raise ConfigurationError(
            f"{ADDRESS}={address} is for clients from afar, but a study is driven from a node of "
            f"the cluster; send it there with `phylon submit --address http://HEAD:8265`"
        )
    try:
        _knock(address)
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
            f"no Ray cluster answers at {ADDRESS}={address}, or this machine is none of its nodes; "
            f"start it, correct the address, unset {ADDRESS} to run on this machine alone, or send "
            f"the study there with `phylon submit`"
        ) from error
    _take_back_sigterm()
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """See whether anything listens there; Ray tries for many minutes.

    Raises:
        ConnectionError: Nothing does.
    """
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE_S).close()
    except OSError as error:  # also of names that are not known
        raise ConnectionError(str(error)) from error


def _take_back_sigterm() -> None:
    """Put Python's handler in force again; Ray puts one in its place that aborts the process."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
