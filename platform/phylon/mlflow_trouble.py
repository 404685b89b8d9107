"""What goes wrong between phylon and an MLflow server, in words, with the cure."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Literal
from urllib.parse import urlsplit

from phylon.errors import PhylonError

MAX_BACKOFF_S = 10.0
MAX_WAIT_S = 3600.0

_STATUS = re.compile(
    r"too many (\d{3}) error responses|failed with error code (\d{3})|(\d{3}) \w+ Error: "
)
_SMALL_REQUEST = "/api/2.0/mlflow/experiments/search"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something could not be sent.

    Attributes:
        kind: ``study``: its own storage, or another process that sends it; ``away``: there is no
            answer; ``busy``: the answer may soon be another one; ``refused``: it will not be.
        reason: What is wrong.
        cure: What to do about it.
        wait: Seconds for which the server asks to be left alone.
    """

    kind: Literal["study", "away", "busy", "refused"]
    reason: str
    cure: str
    wait: float = 0.0

    def pause(self, failures: int) -> float:
        """Return the seconds to wait before the next try, after so many failures in a row."""
        doubled = 2.0 ** min(failures - 1, 10)  # a float has no room for 2 to the 1024th
        return max(min(doubled, MAX_BACKOFF_S), self.wait)


def explain(error: Exception, uri: str) -> Trouble:
    """Return what an error means that was met on the way to the MLflow at `uri`.

    A server that has too much to do is asked for how long it wants to be left alone.
    """
    reason = brief(error).replace(uri.rstrip("/"), public(uri).rstrip("/"))
    code = _status_code(error)
    if isinstance(error, PhylonError):
        return Trouble("study", reason, _MEND)
    if code == "429" or code[:1] == "5":
        return _delay(code, reason, uri)
    if code:
        return _refusal(code, str(error), uri)
    if _is_silence(error):
        return Trouble("away", reason, _WHERE)
    return Trouble("refused", reason, _MEND)


def _delay(code: str, reason: str, uri: str) -> Trouble:
    if not uri.startswith("http"):
        return Trouble("busy", reason, _DATABASE)
    words = f"the server answers {code}"
    if code in ("429", "503"):
        return Trouble("busy", words, _TOO_MUCH, _asked_to_wait(uri))
    return Trouble("busy", words, _BROKEN)


def _refusal(code: str, text: str, uri: str) -> Trouble:
    if "Invalid Host header" in text:
        host = urlsplit(uri).netloc.rpartition("@")[2]
        known = f"start it with `mlflow server ... --allowed-hosts {host}`"
        words = f"the server does not go by the name `{host}` (403)"
        return Trouble("refused", words, f"{known}, or call it as it knows itself")
    if code == "401":
        return Trouble("refused", "the server does not know who is asking (401)", _CREDENTIALS)
    if code == "403":
        return Trouble("refused", "the server does not permit it (403)", _PERMISSION)
    return Trouble("refused", f"the server answers {code}", _WHERE)


def _status_code(error: Exception) -> str:
    """Return the HTTP status that an error of MLflow's tells of; empty if it is none."""
    found = _STATUS.search(str(error))
    if found:
        return next(group for group in found.groups() if group)
    codes = {"PERMISSION_DENIED": "403", "UNAUTHENTICATED": "401", "TEMPORARILY_UNAVAILABLE": "503"}
    return codes.get(getattr(error, "error_code", ""), "")


def _is_silence(error: Exception) -> bool:
    """Whether nobody answered, be it a server or a database."""
    is_lost = isinstance(error, OSError) or type(error).__name__ == "OperationalError"
    return is_lost or re.search("failed with (timeout )?exception", str(error)) is not None


_WHERE = "check that the server runs and that `tracking.uri` is right"
_BROKEN = "the server, or what stands before it, fails by itself: look into its log"
_MEND = "mend that"
_DATABASE = "check that the database runs, and that no other program keeps it locked"
_TOO_MUCH = "it gets fewer requests until it can take more"
_CREDENTIALS = (
    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, where "
    "phylon runs"
)
_PERMISSION = (
    "have this user given the permission EDIT there, or name another one in "
    "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
)


def public(uri: str) -> str:
    """Return a URI without its password.

    >>> public("postgresql://me:secret@db/mlflow"), public("postgresql:///mlflow?password=secret")
    ('postgresql://db/mlflow', 'postgresql:///mlflow')
    """
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    if "@" not in parts.netloc and "password" not in parts.query:
        return uri
    query = "" if "password" in parts.query else f"?{parts.query}"
    return f"{parts.scheme}://{host}{parts.path}{query}".removesuffix("?")


def brief(error: Exception) -> str:
    """Return what an error of MLflow's says, in one line: the cause, if it wraps one."""
    text = str(error) or type(error).__name__
    if "Caused by" in text:
        text = text.rpartition(": ")[2].strip("'\")")
    body = re.search(r"Response body: '(.+?)'", text)
    return (body[1] if body else text).splitlines()[0][:300]


def _asked_to_wait(uri: str) -> float:
    """Return the seconds that the server names in `Retry-After`; 0 if it names none.

    MLflow's client drops that header, so a small request is sent whose answer is read whole.
    """
    from mlflow.tracking._tracking_service import utils
    from mlflow.utils import rest_utils

    service: Any = utils  # neither is typed
    rest: Any = rest_utils
    try:
        answer = rest.http_request(
            service.get_default_host_creds(uri),
            _SMALL_REQUEST,
            "GET",
            params={"max_results": 1},
            raise_on_status=False,
            respect_retry_after_header=False,
        )
    except Exception as error:  # noqa: BLE001 - MLflow raises whatever its libraries do
        log.debug("%s does not say how long to wait: %s", public(uri), error)
        return 0.0
    return min(_seconds(answer.headers.get("Retry-After", "")), MAX_WAIT_S)


def _seconds(header: str) -> float:
    """Return the seconds until the moment that a `Retry-After` header names.

    >>> _seconds("120"), _seconds(""), _seconds("Wed, 21 Oct 2015 07:28:00 GMT")
    (120.0, 0.0, 0.0)
    """
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(parsedate_to_datetime(header).timestamp() - time(), 0.0)
    except (TypeError, ValueError):
        return 0.0
