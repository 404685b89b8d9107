"""Reaches a Ray cluster's job server, and says in our words why it cannot be reached."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from phylon.search.errors import ConfigurationError, StudyError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_TALKERS = (  # of each upload, closed connection or larger file
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
_CONNECT_S = 10.0
_OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")


def connect(address: str) -> JobSubmissionClient:
    """Return Ray's client of a job server.

    Raises:
        ConfigurationError: It does not answer, it wants another token, or ``ray[default]`` is not
            installed here.
        StudyError: It is too old.
    """
    check_answers(address)
    try:
        import aiohttp  # noqa: F401 - without it Ray's client is there, but cannot be used
        from ray.job_submission import JobSubmissionClient
    except ImportError as error:
        raise ConfigurationError(
            f"Ray's client for jobs is not installed here ({error}); `pip install 'ray[default]'`"
        ) from error
    for name in _TALKERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    with explained(address), _no_other_address():
        return JobSubmissionClient(address)


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Turn what goes wrong on the way to a job server into errors of ours.

    Raises:
        ConfigurationError: It does not answer, or wants another token.
        StudyError: It cannot do what it is asked for.
    """
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError as error:
        raise _wrong_token(address, str(error)) from error
    except OSError as error:
        raise ConfigurationError(
            f"{address} does not answer as Ray's job server does: {error}"
        ) from error
    except RuntimeError as error:
        raise StudyError(f"{address}: {error}") from error


def check_answers(address: str) -> None:
    """Check that somebody listens there; Ray's client would wait for minutes.

    Raises:
        ConfigurationError: Nobody does, or it is no web address.
    """
    example = "name the dashboard of the head node, as in http://HEAD:8265"
    try:
        parts = urlsplit(address)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (KeyError, ValueError):
        raise ConfigurationError(f"--address {address} is no web address; {example}") from None
    try:
        socket.create_connection((parts.hostname or "", port), _CONNECT_S).close()
    except OSError as error:
        raise ConfigurationError(
            f"--address {address} does not answer ({error}): start the cluster, with its dashboard "
            f"open to this machine (`ray start --head --dashboard-host=0.0.0.0`), or {example}"
        ) from error


@contextmanager
def _no_other_address() -> Iterator[None]:
    """Hide the variables that Ray prefers to the address it is given."""
    hidden = {name: os.environ.pop(name) for name in _OVERRIDES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _wrong_token(address: str, answer: str) -> ConfigurationError:
    mode = os.environ.get("RAY_AUTH_MODE", "not set")
    where = "~/.ray/auth_token (or RAY_AUTH_TOKEN, or a file named by RAY_AUTH_TOKEN_PATH)"
    if mode != "token":
        problem = f"RAY_AUTH_MODE is {mode} here: `export RAY_AUTH_MODE=token`, with the token in"
    elif "Forbidden" in answer:
        problem = "the one that is here is wrong: correct it in"
    else:
        problem = "there is none here: put it into"
    return ConfigurationError(
        f"{address} wants the cluster's token, and {problem} {where}; `ray get-auth-token` shows "
        f"it on the head node"
    )
