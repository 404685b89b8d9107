"""Studies as jobs of a Ray cluster: submitted, followed and stopped over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from phylon.cluster.job_client import check_answers, connect, explained
from phylon.search.errors import ConfigurationError, StudyError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

STOP_WAIT_S = 60
_POLL_S = 0.5
_SILENCE_S = 60.0
_STOP = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S)}
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
        self._client = connect(self.address)

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
        try:
            with explained(self.address):
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
        except StudyError as error:
            if "already exists" not in str(error):
                raise
            raise self._runs_already(self.find(f"{study}-{number}")) from error
        return self.find(f"{study}-{number}")

    def jobs(self) -> list[Job]:
        """Return all studies' submissions, the oldest first."""
        with explained(self.address):
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
        with explained(self.address):
            return str(self._client.get_job_logs(job.id))

    def follow(self, job: Job, write: Callable[[str], object]) -> Job:
        """Hand on what a job's driver prints until it ends, and return how it did.

        Raises:
            StudyError: The cluster is gone.
        """
        written = 0
        while True:
            had_ended = not job.alive
            written, is_whole = asyncio.run(self._tail(job, write, written))
            try:
                check_answers(self.address)
                job = self.find(job.id)
            except ConfigurationError as error:
                raise StudyError(
                    f"{job.id} cannot be followed any longer: {error}. If its cluster is gone, "
                    f"`phylon submit` the study to a new one, and it goes on"
                ) from error
            if not job.alive and (is_whole or had_ended):
                return job
            time.sleep(_POLL_S)

    def stop(self, job: Job) -> Job:
        """Have a job's driver save everything and end, and return how it did.

        Raises:
            StudyError: It did not end.
        """
        with explained(self.address):
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

    async def _tail(
        self, job: Job, write: Callable[[str], object], written: int
    ) -> tuple[int, bool]:
        """Hand on a log, but for its first characters, until it ends or the line is cut.

        Proxies cut lines that are idle; one to a host that is gone only stays silent.

        Returns:
            How many characters are written now, and whether these are all.
        """
        import aiohttp

        position, texts = 0, self._client.tail_job_logs(job.id)
        with suppress(RuntimeError, TimeoutError, aiohttp.ClientError):
            while True:
                async with asyncio.timeout(_SILENCE_S):
                    text = await anext(texts, "")
                if not text:
                    return written, True
                if new := text[max(written - position, 0) :]:
                    write(new)
                position += len(text)
                written = max(written, position)
        return written, False

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
