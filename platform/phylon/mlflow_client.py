"""How phylon opens MLflow: quietly, impatiently, and never leaving half a database behind."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phylon.config import StudyConfig
from phylon.errors import ConfigurationError

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE = "mlflow.db"
NO_TRACKING = "none"

_SQLITE = "sqlite:///"
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # The tracker retries itself, and remembers.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # seconds
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def tracking_uri(config: StudyConfig) -> str | None:
    """Return where MLflow keeps a study's runs; None for nowhere.

    Raises:
        ConfigurationError: It would be an object store, which holds no database.
    """
    if config.tracking.uri == NO_TRACKING:
        return None
    if config.tracking.uri:
        return config.tracking.uri
    storage = config.location.resolved().parent
    if storage.local is None:
        raise ConfigurationError(
            f"tracking.uri: null keeps the runs in a database beside the studies, which {storage} "
            f"cannot hold; name an MLflow server (http://HOST:PORT) or a database, or `none`"
        )
    return default_uri(storage.local)


def default_uri(storage: Path) -> str:
    """Return the URI of the database that the studies in a storage folder share."""
    return f"{_SQLITE}{storage.absolute() / DATABASE}"


def artifact_location(uri: str) -> str | None:
    """Return where an sqlite database's artifacts go: beside it; None to leave it to the server."""
    file = _sqlite_file(uri)
    return str(file.parent / "mlflow-artifacts") if file else None


def open_client(uri: str) -> MlflowClient:
    """Return a client of the MLflow at `uri`, making an sqlite database if there is none.

    The first use in a process imports MLflow, which takes seconds.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    if not uri.startswith(("http", "databricks")):
        _hurry_databases()
    if file := _sqlite_file(uri):
        _make_database(file)
    return MlflowClient(tracking_uri=uri)


def _hurry_databases() -> None:
    """Have MLflow say at once, and once, that a database is away: the tracker tries again."""
    from mlflow.store.db import utils

    databases: Any = utils  # not typed
    databases.MAX_RETRY_COUNT = 1  # else it tries for minutes to connect
    # It logs what it raises, with a traceback each time.
    logging.getLogger("mlflow.store.db").setLevel(logging.CRITICAL)
    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix(_SQLITE)).absolute() if uri.startswith(_SQLITE) else None


def _make_database(file: Path) -> None:
    """Make a database under another name and move it into place.

    MLflow builds one in a hundred steps. Two processes that do so at once, or one that is killed
    meanwhile, leave a database that nothing can open.
    """
    from mlflow import MlflowClient

    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if file.exists():
            return
        fresh = file.with_name(f"{file.name}.new")
        for leftover in file.parent.glob(f"{fresh.name}*"):
            leftover.unlink()
        MlflowClient(tracking_uri=f"{_SQLITE}{fresh}").search_experiments(max_results=1)
        fresh.rename(file)
