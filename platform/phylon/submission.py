"""What a study file becomes as a job: its id, its command, and what a cluster could not do."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from phylon.config import StudyConfig
from phylon.errors import ConfigurationError
from phylon.mlflow_client import tracking_uri

_INSIDE = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray sets it for the driver of a job
_NAME = re.compile(r"[A-Za-z_]\w*")
_RELATIVE_DATABASE = re.compile(r"sqlite(\+\w+)?:///(?!/)")


@dataclass(frozen=True, slots=True)
class Submission:
    """A study to be run as a job.

    Attributes:
        study: An id that follows from the study's name and storage alone.
        entrypoint: The command that begins it, or goes on with it.
        env: Environment variables of driver and workers; they may be secrets.
    """

    study: str
    entrypoint: str
    env: Mapping[str, str] = field(repr=False)


def submission(
    config: StudyConfig, file: Path, folder: Path, overrides: Sequence[str], env: Sequence[str]
) -> Submission:
    """Return a study as a job.

    Args:
        config: What is in its file, overrides included.
        file: The file.
        folder: What is shipped with the job, and its current folder there.
        overrides: Values that replace those of the file, as ``dotted.key=value``.
        env: Environment variables, as ``NAME=VALUE``, or as ``NAME`` with the value it has here.

    Raises:
        ConfigurationError: The file is not in the folder, a path means nothing on a cluster, there
            is no place for MLflow's runs, or a variable is not set.
    """
    inner = file_inside(file, folder)
    check_paths(config, folder)
    tracking_uri(config)  # refuses what would be refused there
    options = [word for override in overrides for word in ("--set", override)]
    command = ["python", "-m", "phylon", "run", inner.as_posix(), "--resume", *options]
    return Submission(study_id(config), shlex.join(command), dict(_variables(env)))


def study_id(config: StudyConfig) -> str:
    """Return what tells a study from all others on a cluster, the same on every machine."""
    digest = hashlib.sha256(str(config.location).encode()).hexdigest()[:8]
    return f"phylon-{config.name}-{digest}"


def file_inside(file: Path, folder: Path) -> Path:
    """Return a file relative to the folder that is shipped.

    Raises:
        ConfigurationError: It is not in it.
    """
    try:
        return file.resolve().relative_to(folder.resolve())
    except ValueError:
        raise ConfigurationError(
            f"{file} is outside of {folder}, the current folder, which is what is shipped to the "
            f"cluster; `cd` to the folder of the study file and your modules, and submit from there"
        ) from None


def check_paths(config: StudyConfig, folder: Path) -> None:
    """Check that no path of a study file leads to where a job has nothing, or loses what it has.

    Raises:
        ConfigurationError: One does; it begins with the key.
    """
    if "://" not in config.storage and not config.storage.startswith("/"):
        raise ConfigurationError(
            f"storage: is `{config.storage}`, which would be inside the job's copy of {folder} and "
            f"go with the job; name a folder that every node sees by its absolute path, as in "
            f"/mnt/shared/studies, or s3://BUCKET/studies"
        )
    uri = config.tracking.uri or ""
    if _RELATIVE_DATABASE.match(uri):
        raise ConfigurationError(
            f"tracking.uri: is `{uri}`, which would be inside the job's copy of {folder} and go "
            f"with the job; leave it out to have the runs in the storage folder, or name an "
            f"absolute path (sqlite:////PATH), a server (http://HOST:5000), or none"
        )
    for key, value in _texts(config):
        if Path(os.path.normpath(value)).parts[:1] == ("..",):
            raise ConfigurationError(
                f"{key}: is `{value}`, outside of {folder}, which is what is shipped to the "
                f"cluster; move it inside, or name an absolute path that every node sees"
            )


def versions_inside_a_job() -> str:
    """Return a line on which versions a job's driver runs; nothing outside of a job."""
    if _INSIDE not in os.environ:
        return ""
    from phylon.environment import versions

    return ", ".join(f"{name} {version}" for name, version in versions().items())


def _texts(config: StudyConfig) -> Iterator[tuple[str, str]]:
    """Yield what may be paths, with their keys."""
    yield from ((f"warm_start.{i}", folder) for i, folder in enumerate(config.warm_start))
    for key in ("task", "space", "strategy"):
        component = getattr(config, key)
        for name, value in component.params.items() if component else ():
            if isinstance(value, str):
                yield f"{key}.{name}", value


def _variables(env: Sequence[str]) -> Iterator[tuple[str, str]]:
    for each in env:
        name, equals, value = each.partition("=")
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"--env {each}: `{name}` is no name; write NAME or NAME=VALUE")
        if not equals and name not in os.environ:
            raise ConfigurationError(
                f"--env {name}: it is not set here; `export {name}=...`, or write {name}=VALUE"
            )
        yield name, value if equals else os.environ[name]
