"""`phylon sync`: brings an MLflow server in step with a study, after the fact."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

from pydantic import ValidationError

from phylon.config_tracking import Tracking
from phylon.errors import ConfigurationError, JournalError, StudyError, TrackingError
from phylon.lock import is_held
from phylon.mlflow_client import NO_TRACKING, tracking_uri
from phylon.mlflow_extras import Extras
from phylon.mlflow_sender import Sender
from phylon.mlflow_trouble import explain, public
from phylon.models import Trained, best_models
from phylon.study import Study

TRIES = 5
REPORT_PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What a study's synchronisation did.

    Attributes:
        uri: Where the runs are, without a password.
        events: How many events of the journal were sent.
        candidates: How many candidates have runs there now.
        extras: Names of what was sent beside the runs.
    """

    uri: str
    events: int
    candidates: int
    extras: tuple[str, ...]


def synchronize(place: str, uri: str | None, on_progress: Callable[[int, int], None]) -> Sent:
    """Send what an MLflow lacks of a study, which may be running or finished.

    Args:
        place: Where the study lives.
        uri: Where to; None for where the study keeps its runs itself.
        on_progress: Told how many events are there, and how many are not.

    Raises:
        StudyError: There is no study, or another process sends it there.
        ConfigurationError: It is not said where to send it.
        TrackingError: MLflow cannot be reached, or refuses; calling again sends the rest.
    """
    study = Study.open(place)
    location = study.location
    there = _configured(study) if uri is None else _checked(uri)

    def models() -> Iterator[Trained]:
        return best_models(study, study.state())

    extras = Extras(location, models, study.config.tracking.register)
    with closing(Sender(location, there, extras)) as sender, ExitStack() as stack:
        try:
            stack.enter_context(sender.opened())
        except StudyError as error:
            if not is_held(location):
                raise
            raise StudyError(
                f"{location} is being run, and its driver sends it to {public(there)} by itself; "
                f"name another place by --tracking, or wait for it to end"
            ) from error
        before = sender.record.sent
        _send_runs(sender, there, lambda: on_progress(sender.record.sent, len(sender.backlog)))
        extras_sent = _send_extras(sender, there)
        record = sender.record
        return Sent(public(there), record.sent - before, len(record.runs) - 1, extras_sent)


def _configured(study: Study) -> str:
    uri = tracking_uri(study.config)
    if uri is None:
        raise ConfigurationError(
            f"{study.location} is not tracked (`tracking.uri: {NO_TRACKING}`); say where to send "
            f"it: --tracking http://HOST:PORT"
        )
    return uri


def _checked(uri: str) -> str:
    try:
        checked = Tracking(uri=uri).uri
    except ValidationError:
        checked = None
    if checked is None or checked == NO_TRACKING:
        raise ConfigurationError(
            f"--tracking: {uri!r} is not an MLflow server or database; allowed: "
            f"http(s)://HOST:PORT, sqlite:///FILE, postgresql://..."
        )
    return checked


def _send_runs(sender: Sender, uri: str, on_progress: Callable[[], None]) -> None:
    on_progress()
    while _patiently(sender, uri, "all of it", sender.send_stretch):
        on_progress()


def _send_extras(sender: Sender, uri: str) -> tuple[str, ...]:
    """Send what is missing beside the runs, all that can be sent; return the names."""
    sent: list[str] = []
    failures: list[TrackingError] = []
    for name in sender.missing_extras():
        send = functools.partial(sender.send_extra, name, REPORT_PATIENCE_S)
        try:
            if _patiently(sender, uri, name, send):
                sent.append(name)
        except TrackingError as error:
            failures.append(error)
    if failures:
        raise TrackingError("\n".join(map(str, failures))) from failures[0]
    return tuple(sent)


def _patiently(sender: Sender, uri: str, what: str, send: Callable[[], bool]) -> bool:
    """Return what `send` returns; a busy server is asked a few times.

    Raises:
        TrackingError: It cannot be sent.
    """
    for attempt in itertools.count(1):
        try:
            return send()
        except JournalError:
            raise
        except Exception as error:
            sender.disconnect()
            trouble = explain(error, uri)
            if trouble.kind != "busy" or attempt == TRIES:
                raise TrackingError(
                    f"MLflow at {public(uri)} did not take {what}: {trouble.reason}; "
                    f"{trouble.cure}, then call `phylon sync` again: it sends the rest"
                ) from error
            time.sleep(trouble.pause(attempt))
    raise AssertionError
