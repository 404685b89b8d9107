"""The errors that users of phylon may catch, all of them `PhylonError`."""

from __future__ import annotations

from phylon.search.errors import (
    ClusterError,
    ConfigurationError,
    EvaluationError,
    JournalError,
    PhylonError,
    SpaceError,
    SpaceExhausted,
    StudyError,
    TrackingError,
    did_you_mean,
)

__all__ = [
    "ClusterError",
    "ConfigurationError",
    "EvaluationError",
    "JournalError",
    "PhylonError",
    "SpaceError",
    "SpaceExhausted",
    "StudyError",
    "TrackingError",
    "did_you_mean",
]
