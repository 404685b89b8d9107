"""What the driver that holds a study says of itself, and what others are told of it."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime

from phylon.cluster.location import Location
from phylon.errors import StudyError


def describe_holder(since: str, beats: int = 0) -> bytes:
    """Return what this process says of itself.

    Args:
        since: When it began to hold the study.
        beats: How often it has said so.
    """
    who = {"host": socket.gethostname(), "pid": os.getpid(), "since": since, "beats": beats}
    return json.dumps(who).encode()


def held_by_another(location: Location, holder: bytes) -> StudyError:
    """Return the error to raise for a study that a living driver holds.

    Args:
        location: Where the study lives.
        holder: What the driver says of itself.
    """
    try:
        who = json.loads(holder)
        words = f"process {who['pid']} on {who['host']}, since {who['since']}"
    except (ValueError, LookupError):
        words = "an unknown process"
    return StudyError(
        f"study {location} is being run by another driver ({words}); stop that one or wait for it "
        f"to end"
    )


def now_in_words() -> str:
    """Return the time for people, in UTC."""
    return datetime.now(UTC).isoformat(" ", "seconds")
