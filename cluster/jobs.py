"""Studies as jobs of a Ray cluster: submitted, followed and stopped over HTTP."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final
from urllib.parse import urlsplit

from phylon.search.errors import ConfigurationError, StudyError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

STOP_WAIT_S = 60
_CONNECT_S = 10.0
_POLL_S = 0.5
_STOP = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S)}
_OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_STUDY = "phylon.study"
_ALIVE = ("PENDING", "RUNNING")


@dataclass(frozen=True, slots=True)
class Job:
    """One submission of a study.

    Attributes:
        study: The study's id, the same however often it is submitted.
        number: Which submission of it to this cluster, from 1.
        status: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
        message: What Ray has to say about the status.
        exit_code: The driver's, if it ended by itself.
        begun: When it was submitted, in seconds since 1970, by the cluster's clock.
        ended: When it ended, or None.
    """

    study: str
    number: int
    status: str
    message: str
    exit_code: int | None
    begun: float
    ended: float | None

    @property
    def id(self) -> str:
        """Its name at Ray, where a name cannot be used again: the study's id and the number."""
        return f"{self.study}-{self.number}"

    @property
    def alive(self) -> bool:
        """Whether it runs, or will."""
        return self.status in _ALIVE


@final
class JobServer:
    """The job server of a Ray cluster; one with tokens wants ``RAY_AUTH_MODE=token`` here, too.

    Every method raises `ConfigurationError` if the server does not answer or wants another token,
    and `StudyError` if it cannot do what it is asked for.

    Args:
        address: Where Ray's dashboard is: ``http://HEAD:8265``.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        _check_answers(self.address)
        with self._explained(), _this_address_only():
            self._client = _connect(self.address)

    def submit(
        self, study: str, entrypoint: str, *, wheel: Path, folder: Path, env: Mapping[str, str]
    ) -> Job:
        """Run a study as a job, on the head node.

        Args:
            study: The study's id.
            entrypoint: The command.
            wheel: The phylon that driver and workers use.
            folder: Shipped to all nodes; the driver's and the workers' current folder.
            env: Environment variables of driver and workers.

        Raises:
            StudyError: The study runs already.
        """
        submitted = self._of(study)
        if submitted and submitted[-1].alive:
            raise self._runs_already(submitted[-1])
        number = submitted[-1].number + 1 if submitted else 1
        with self._explained():
            try:
                self._client.submit_job(
                    entrypoint=entrypoint,
                    submission_id=f"{study}-{number}",
                    metadata={_STUDY: study},
                    runtime_env={
                        "working_dir": str(folder),
                        "py_modules": [str(wheel)],
                        "env_vars": {**_STOP, **env},
                    },
                )
            except RuntimeError as error:
                if "already exists" not in str(error):
                    raise
                raise self._runs_already(self.find(f"{study}-{number}")) from error
        return self.find(f"{study}-{number}")

    def jobs(self) -> list[Job]:
        """Return all studies' submissions, the oldest first."""
        with self._explained():
            every = [_job(details) for details in self._client.list_jobs()]
        return sorted((job for job in every if job), key=lambda job: job.begun)

    def find(self, name: str) -> Job:
        """Return a job by its id, or the latest one of a study by the study's id.

        Raises:
            ConfigurationError: There is none.
        """
        jobs = self.jobs()
        found = [job for job in jobs if name in (job.study, job.id)]
        if found:
            return found[-1]
        known = ", ".join(sorted({job.study for job in jobs})) or "none"
        raise ConfigurationError(
            f"{self.address} knows no study by the id `{name}`; known: {known}. A new cluster "
            f"knows nothing of an old one's: `phylon submit` the study again, and it goes on"
        )

    def logs(self, job: Job) -> str:
        """Return all that a job's driver printed so far."""
        with self._explained():
            return str(self._client.get_job_logs(job.id))

    def follow(self, job: Job, write: Callable[[str], object]) -> Job:
        """Hand on what a job's driver prints until it ends, and return how it did."""
        import aiohttp

        written = 0

        async def tail() -> None:
            nonlocal written
            position = 0
            async for text in self._client.tail_job_logs(job.id):
                new = text[max(written - position, 0) :]
                position += len(text)
                if new:
                    write(new)
                    written = position

        while True:
            with suppress(RuntimeError, aiohttp.ClientError):  # cut, as proxies do when it is idle
                asyncio.run(tail())
            job = self.find(job.id)
            if not job.alive:
                return job
            time.sleep(_POLL_S)

    def stop(self, job: Job) -> Job:
        """Have a job's driver save everything and end, and return how it did.

        Raises:
            StudyError: It did not end.
        """
        with self._explained():
            self._client.stop_job(job.id)
        deadline = time.monotonic() + 2 * STOP_WAIT_S
        while (job := self.find(job.id)).alive:
            if time.monotonic() > deadline:
                raise StudyError(
                    f"{job.id} is still {job.status} after {2 * STOP_WAIT_S} s; look at it by "
                    f"`phylon logs --address {self.address} {job.id}`"
                )
            time.sleep(_POLL_S)
        return job

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what goes wrong on the way to the server into errors of ours."""
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            raise _wrong_token(self.address, str(error)) from error
        except OSError as error:
            raise ConfigurationError(
                f"{self.address} does not answer as Ray's job server does: {error}"
            ) from error
        except RuntimeError as error:
            raise StudyError(f"{self.address}: {error}") from error

    def _of(self, study: str) -> list[Job]:
        return [job for job in self.jobs() if job.study == study]

    def _runs_already(self, job: Job) -> StudyError:
        where = f"--address {self.address} {job.study}"
        return StudyError(
            f"the study is {job.status} as {job.id} already; follow it by `phylon logs {where} "
            f"--follow`, or end it by `phylon stop {where}` before you submit it again"
        )


def _job(details: JobDetails) -> Job | None:
    """Return what Ray tells of a job, or None if it is not one of phylon's."""
    study = (details.metadata or {}).get(_STUDY)
    number = str(details.submission_id).rpartition("-")[2]
    if study is None or not number.isdecimal():
        return None
    return Job(
        study=study,
        number=int(number),
        status=str(details.status.value),
        message=details.message or "",
        exit_code=details.driver_exit_code,
        begun=(details.start_time or 0) / 1000,
        ended=details.end_time / 1000 if details.end_time else None,
    )


def _check_answers(address: str) -> None:
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
def _this_address_only() -> Iterator[None]:
    """Hide the variables that Ray prefers to the address it is given."""
    hidden = {name: os.environ.pop(name) for name in _OVERRIDES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _connect(address: str) -> JobSubmissionClient:
    try:
        import aiohttp  # noqa: F401 - without it Ray's client is there, but cannot be used
        from ray.job_submission import JobSubmissionClient
    except ImportError as error:
        raise ConfigurationError(
            f"Ray's client for jobs is not installed here ({error}); `pip install 'ray[default]'`"
        ) from error
    for handler in logging.getLogger("ray").handlers:
        handler.setLevel(logging.ERROR)  # not each upload, closed connection or larger file
    return JobSubmissionClient(address)


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
