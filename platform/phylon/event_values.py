"""What events are made of, as plain JSON data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement
from phylon.search.proposal import Known


def plain(value: Any) -> Any:  # noqa: ANN401
    """Return a field of an event as plain data; what is plain already stays as it is."""
    make = _PLAIN.get(type(value))
    return make(value) if make else value


_PLAIN: dict[type, Callable[[Any], Any]] = {
    Candidate: Candidate.to_json,
    Measurement: Measurement.to_json,
    Architecture: lambda value: value.nested,
    Known: lambda value: [value.architecture.nested, list(value.losses)],
    list: lambda value: list(map(plain, value)),
}
