"""Whether a study may begin or go on: what is in its folder, and what has changed since."""

from __future__ import annotations

import os
from pathlib import Path

from phylon.agenda import early_end
from phylon.budget import spent
from phylon.cluster.location import Location
from phylon.config import StudyConfig
from phylon.driver import EXHAUSTED
from phylon.errors import ConfigurationError, StudyError
from phylon.events import Created, Finished
from phylon.journal import JournalReader
from phylon.lease import LEASE
from phylon.lock import LOCK, refuse_if_locked
from phylon.search.space import SearchSpace
from phylon.state import StudyState
from phylon.study import JOURNAL

_BEFORE_THE_FIRST_EVENT = {LOCK, LEASE, JOURNAL, "early"}
_MAY_CHANGE = {"name", "budget", "resources", "storage", "tracking"}


def check_storage(location: Location) -> None:
    """Refuse a place that cannot be written, or a folder that a living driver holds.

    Raises:
        StudyError: Another driver runs the study.
        ConfigurationError: The place, or where it is to be made, is not writable.
    """
    if location.local is None:
        location.parent.check()
    else:
        _check_folder(location.local)
        refuse_if_locked(location.local)


def _check_folder(folder: Path) -> None:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ConfigurationError(f"storage: {there} is no folder that can be written; name another")


def check_place(location: Location, *, resume: bool) -> None:
    """Refuse a place that holds something else, or a study that is not to be resumed.

    Names with a dot do not count: a census leaves one there while it looks around, and for good if
    its driver is killed meanwhile.

    Raises:
        StudyError: It does.
    """
    journal = location / JOURNAL
    if next(JournalReader(journal.filesystem, journal.path).read(), None):
        if not resume:
            raise StudyError(
                f"the study {location} exists; go on with it by `phylon resume {location}` "
                f"(or `phylon run ... --resume`), or choose another name"
            )
    elif {name for name in location.names() if name[0] != "."} - _BEFORE_THE_FIRST_EVENT:
        raise StudyError(
            f"{location} exists and is no study; choose another name or storage, or move it away"
        )


def check_unchanged(created: Created, config: StudyConfig, space: SearchSpace) -> None:
    """Refuse to go on with a study as a different one.

    Raises:
        StudyError: The space or a setting is another than when the study began; it names them.
    """
    differences = SearchSpace.from_json(created.space).differences(space)
    if differences:
        raise StudyError(
            f"the space of study `{config.name}` changed since it began: {'; '.join(differences)}; "
            f"put it back, or begin a study of another name"
        )
    # A key that is younger than the study stands at its default there.
    before, now = StudyConfig.from_json(created.config).to_json(), config.to_json()
    changed = sorted(k for k in now if k not in _MAY_CHANGE and before[k] != now[k])
    if changed:
        words = "; ".join(f"`{key}` was {before[key]}, is {now[key]}" for key in changed)
        raise StudyError(
            f"study `{config.name}` changed since it began: {words}; put it back, or begin a study "
            f"of another name"
        )


def has_more_to_do(state: StudyState, config: StudyConfig) -> bool:
    """Return whether a study that was opened again is not at its end.

    Raises:
        StudyError: More is to be searched in a study whose final phase has begun.
    """
    is_spent = bool(spent(config.budget, state, state.seconds))
    if state.proposed["final"] and not is_spent and (more := _more(state, config)):
        raise StudyError(
            f"study `{config.name}` began its final phase after {state.searched} candidates, so it "
            f"cannot search on with {more}; begin a study of another name"
        )
    if not isinstance(state.ending, Finished):
        return True
    is_over = state.proposed["final"] or state.ending.reason == EXHAUSTED
    return not is_over and not early_end(config, state) and not is_spent


def _more(state: StudyState, config: StudyConfig) -> str:
    """Return the limits of the budget that are higher than those of the last driver, or gone."""
    before, now = state.opened.budget if state.opened else {}, config.budget.model_dump()
    return ", ".join(
        f"budget.{key}: {'null' if now[key] is None else f'{now[key]:g}'} (it was {limit:g})"
        for key, limit in before.items()
        if limit is not None and (now[key] is None or now[key] > limit)
    )
