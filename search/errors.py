"""The errors phylon raises on purpose: each says what, where, what is allowed, and the cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PhylonError(Exception):
    """Root of every error that phylon raises on purpose."""


class ConfigurationError(PhylonError, ValueError):
    """The user asked for something that cannot be done; nothing was started or written."""


class SpaceError(PhylonError, ValueError):
    """A search space is ill-formed, or a value does not belong to it."""


class SpaceExhausted(PhylonError):  # noqa: N818 - a signal to the study, like StopIteration
    """Every architecture of a finite space was already proposed."""


class EvaluationError(PhylonError, RuntimeError):
    """A candidate could not be measured; the study goes on without it."""


class JournalError(PhylonError, RuntimeError):
    """A journal cannot be read or written; nothing in it was changed."""


class StudyError(PhylonError, RuntimeError):
    """A study cannot be opened, resumed or finished."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Name what is allowed instead of `word`, the nearest first if there is one.

    >>> did_you_mean("digit", ["digits", "images"])
    'did you mean `digits`? Known: digits, images'
    """
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    return f"{hint}Known: {', '.join(names)}"
