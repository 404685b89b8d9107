"""Which candidate of a study is taken home, and whether there is something to take."""

from __future__ import annotations

from phylon.ancestry import candidate_of
from phylon.cluster.location import CANDIDATES, Location
from phylon.errors import ConfigurationError
from phylon.record import Record
from phylon.state import StudyState

_MOST = 8  # candidates that a message names


def choose(location: Location, state: StudyState, number: int | None) -> Record:
    """Return the candidate with this id, or the winner, if its weights are there.

    Args:
        location: Where the study lives.
        state: The study.
        number: The candidate's id; None for the winner.

    Raises:
        ConfigurationError: There is no such candidate, or it has no weights; the message says
            which ones have.
    """
    record = _winner(state) if number is None else candidate_of(state, number)
    if reason := _lacking(location, record):
        raise ConfigurationError(f"candidate {record.id} {reason}; {_others(location, state)}")
    return record


def _winner(state: StudyState) -> Record:
    best = state.best
    if best is None:
        raise ConfigurationError(
            "the study has no winner, since no candidate has completed; `phylon show DIR` tells "
            "how far it is and what failed"
        )
    return best


def _lacking(location: Location, record: Record) -> str:
    """Return why a candidate has no weights; nothing if it has."""
    if record.candidate.phase == "supernet":
        return "is the training of the shared weights, which is no network by itself"
    if record.candidate.is_scored:
        return (
            "was only scored with shared weights and has none of its own: a study with a final "
            "phase (`final: {top: 3}`) trains its best on their own"
        )
    if record.state == "pending":
        return "is not trained to its end; `phylon resume DIR` goes on with it"
    if record.state == "failed":
        return f"failed ({record.reason.partition(chr(10))[0]}), so that there are no weights"
    if str(record.id) not in (location / CANDIDATES).names():
        return (
            "has no weights any more: those of the best of the search (as many as `final.top`), of "
            "its front and of the final phase are kept"
        )
    return ""


def _others(location: Location, state: StudyState) -> str:
    """Say which candidates have weights, the best first."""
    there = set((location / CANDIDATES).names())
    ranked = [*state.ranking("final"), *state.ranking("search")]
    have = [r.id for r in ranked if str(r.id) in there and not r.candidate.is_scored]
    if not have:
        return "no other candidate has weights"
    more = f" and {len(have) - _MOST} more" if len(have) > _MOST else ""
    return f"these have weights, the best first: {', '.join(map(str, have[:_MOST]))}{more}"
