"""The commands that run studies as jobs of a cluster: `phylon submit`, `status`, `logs`, `stop`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from phylon.cluster.jobs import Job, JobServer
    from phylon.submission import Submission

_ADDRESS = click.option(
    "--address", metavar="http://HEAD:8265", required=True,
    envvar=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"], show_envvar=True,
    help="The dashboard of the cluster's head node.",
)  # fmt: skip
_ID = click.argument("name", metavar="ID")


@click.command()
@click.argument("study_file", metavar="STUDY.yaml", type=click.Path(path_type=Path))
@_ADDRESS
@click.option("--wait", is_flag=True, help="Show what it prints until it ends; exit as it does.")
@click.option("--name", metavar="N", help="The study's name, instead of the file's.")
@click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True,
    help="Replace a value of the file, e.g. budget.candidates=40.",
)  # fmt: skip
@click.option(
    "--env", metavar="NAME[=VALUE]", multiple=True,
    help="Set an environment variable on the cluster; without a value, to what it is here.",
)  # fmt: skip
def submit(
    study_file: Path,
    address: str,
    wait: bool,
    name: str | None,
    overrides: tuple[str, ...],
    env: tuple[str, ...],
) -> int:
    """Run a study on a Ray cluster, or go on with it there.

    The current folder is shipped to all nodes, and this phylon with it. Whatever ended the study
    before, the same command goes on with it; while it runs, the command is refused.
    """
    from phylon.cli import FINISHED
    from phylon.config_file import read_study_file
    from phylon.errors import ConfigurationError

    if name is not None:
        overrides = (*overrides, f"name={json.dumps(name)}")
    file = read_study_file(study_file, overrides)

    from phylon.submission import submission

    try:
        prepared = submission(file.config, study_file, Path.cwd(), overrides, env)
    except ConfigurationError as error:
        raise file.located(error) from error
    server, job = _submit(prepared, study_file, address)
    where = f"--address {server.address} {job.study}"
    click.echo(f"submitted {job.study} (as Ray's job {job.id})", err=wait)
    for command in (f"status {where}", f"logs {where} --follow", f"stop {where}"):
        click.echo(f"  phylon {command}", err=wait)
    return _follow(server, job) if wait else FINISHED


@click.command()
@_ADDRESS
@click.argument("name", metavar="[ID]", required=False)
def status(address: str, name: str | None) -> None:
    """Show the studies that were submitted to a cluster, or one of them."""
    from phylon.cluster.jobs import JobServer

    server = JobServer(address)
    if name is not None:
        click.echo(_describe(server.find(name)))
    elif jobs := server.jobs():
        click.echo("\n".join(_lines(jobs)))
    else:
        click.echo(f"no study was submitted to {server.address} since its cluster began", err=True)


@click.command()
@_ADDRESS
@_ID
@click.option("--follow", is_flag=True, help="Go on until it ends, and exit as it does.")
def logs(address: str, name: str, follow: bool) -> int:
    """Show what a submitted study printed."""
    from phylon.cli import FINISHED
    from phylon.cluster.jobs import JobServer

    server = JobServer(address)
    job = server.find(name)
    if follow:
        return _follow(server, job)
    click.echo(server.logs(job), nl=False)
    return FINISHED


@click.command()
@_ADDRESS
@_ID
def stop(address: str, name: str) -> None:
    """Stop a submitted study with everything saved.

    `phylon submit` goes on with it.
    """
    from phylon.cluster.jobs import STOP_WAIT_S, JobServer

    server = JobServer(address)
    job = server.find(name)
    if not job.alive:
        click.echo(f"{job.id} ended before: {job.status}")
        return
    click.echo(f"stopping {job.id}; it has {STOP_WAIT_S} s to save ...", err=True)
    job = server.stop(job)
    click.echo(f"{job.id} ended: {job.status}; `phylon submit` the study again to go on with it")


def _submit(prepared: Submission, study_file: Path, address: str) -> tuple[JobServer, Job]:
    """Ship the current folder and phylon, and run the study there.

    Raises:
        ConfigurationError: The folder is too large, or its study file is not shipped.
    """
    from phylon.cluster.jobs import JobServer
    from phylon.cluster.upload import check_size, shipped_files
    from phylon.errors import ConfigurationError
    from phylon.submission import file_inside
    from phylon.wheel import write_wheel

    server, folder = JobServer(address), Path.cwd()
    files = shipped_files(folder)
    if file_inside(study_file, folder) not in files:
        raise ConfigurationError(
            f"{study_file} is not shipped to the cluster: a .gitignore or .rayignore leaves it "
            f"out; take it from there, or submit a file that is not named there"
        )
    check_size(folder, files)
    with tempfile.TemporaryDirectory(prefix="phylon-") as scratch:
        wheel = write_wheel(Path(scratch))
        return server, server.submit(
            prepared.study, prepared.entrypoint, wheel=wheel, folder=folder, env=prepared.env
        )


def _follow(server: JobServer, job: Job) -> int:
    """Show what a job prints until it ends, and return the exit code of the study."""
    from phylon.cli import FAILED, FINISHED, INTERRUPTED

    try:
        job = server.follow(job, lambda text: click.echo(text, nl=False))
    except KeyboardInterrupt:
        click.echo(f"\n{job.id} goes on; to stop it: ", err=True, nl=False)
        click.echo(f"phylon stop --address {server.address} {job.study}", err=True)
        return INTERRUPTED
    if job.exit_code is not None:
        return job.exit_code
    if job.status != "FAILED":
        return FINISHED if job.status == "SUCCEEDED" else INTERRUPTED
    click.echo(f"error: {job.id} failed: {job.message}", err=True)
    return FAILED


def _describe(job: Job) -> str:
    ended = f"\nended      {_when(job.ended)}" if job.ended else ""
    code = f" (exit code {job.exit_code})" if job.exit_code is not None else ""
    return (
        f"study      {job.study}\njob        {job.id}\nstatus     {job.status}{code}\n"
        f"submitted  {_when(job.begun)}{ended}\n{job.message}"
    )


def _lines(jobs: list[Job]) -> Iterator[str]:
    """Yield a line for each study and its latest job; ids are whole, however wide the terminal."""
    latest = {job.study: job for job in jobs}
    width = max(map(len, latest))
    yield f"{'study':{width}}  jobs  status     {'submitted':19}  ended"
    for study, job in latest.items():
        ended = _when(job.ended) if job.ended else ""
        line = f"{study:{width}}  {job.number:4}  {job.status:9}  {_when(job.begun)}  {ended}"
        yield line.rstrip()


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
