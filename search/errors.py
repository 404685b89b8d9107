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


class Waiting(SpaceExhausted):
    """There is nothing to propose until another result is told."""


class ClusterError(PhylonError, RuntimeError):
    """Ray did not do what it was asked."""


class EvaluationError(PhylonError, RuntimeError):
    """A candidate could not be measured; the study goes on without it."""


class OutOfMemory(EvaluationError):  # noqa: N818 - what it is called everywhere
    """A candidate needed more memory than there was, or than its share of it."""


class NonFinite(EvaluationError):  # noqa: N818 - what it is called everywhere
    """The loss of a training became NaN or infinite."""


class GivenBack(PhylonError):  # noqa: N818 - a signal to the worker, like StopIteration
    """An evaluation stopped, since its worker has to leave; another one goes on with it."""


class JournalError(PhylonError, RuntimeError):
    """A journal cannot be read or written; nothing in it was changed."""


class StudyError(PhylonError, RuntimeError):
    """A study cannot be opened, resumed or finished."""


class TrackingError(PhylonError, RuntimeError):
    """A tracking server cannot be reached, or does not take what it is sent."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Name what is allowed instead of `word`, the nearest first if there is one.

    >>> did_you_mean("digit", ["digits", "images"])
    'did you mean `digits`? Known: digits, images'
    """
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    return f"{hint}Known: {', '.join(names)}"


_SHORTAGES = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, of whatever library, says that there is no memory left."""
    if isinstance(error, MemoryError | OutOfMemory) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(each in str(error) for each in _SHORTAGES)
