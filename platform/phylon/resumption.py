"""Whether a study may begin or go on: what is in its folder, and what has changed since."""

from __future__ import annotations

from pathlib import Path

from phylon.config import StudyConfig
from phylon.driver import EXHAUSTED
from phylon.errors import StudyError
from phylon.events import Created, Finished
from phylon.search.space import SearchSpace
from phylon.state import StudyState

_BEFORE_THE_FIRST_EVENT = {"driver.lock", "journal", "early"}
_MAY_CHANGE = {"name", "budget", "resources", "storage", "tracking"}


def check_folder(folder: Path, *, resume: bool) -> None:
    """Refuse a folder that holds something else, or a study that is not to be resumed.

    Raises:
        StudyError: It does.
    """
    if not folder.exists():
        return
    if any(folder.glob("journal/*.jsonl")):
        if not resume:
            raise StudyError(
                f"the study {folder} exists; go on with it by `phylon resume {folder}` "
                f"(or `phylon run ... --resume`), or choose another name"
            )
    elif not folder.is_dir() or {path.name for path in folder.iterdir()} - _BEFORE_THE_FIRST_EVENT:
        raise StudyError(
            f"{folder} exists and is no study; choose another name or storage, or move it away"
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
    before, now = created.config, config.to_json()
    changed = sorted(k for k in now if k not in _MAY_CHANGE and before.get(k) != now[k])
    if changed:
        words = "; ".join(f"`{key}` was {before.get(key)}, is {now[key]}" for key in changed)
        raise StudyError(
            f"study `{config.name}` changed since it began: {words}; put it back, or begin a study "
            f"of another name"
        )


def has_more_to_do(state: StudyState, config: StudyConfig) -> bool:
    """Return whether a study that was opened again is not at its end.

    Raises:
        StudyError: More candidates are asked of a study whose final phase has begun.
    """
    asked, before = config.budget.candidates, state.budget.get("candidates")
    if state.proposed["final"] and before and asked > before:
        raise StudyError(
            f"study `{config.name}` began its final phase after {before:g} candidates, so it "
            f"cannot search for {asked}; begin a study of another name"
        )
    if not isinstance(state.ending, Finished):
        return True
    if state.proposed["final"] or state.ending.reason == EXHAUSTED:
        return False
    return asked > state.proposed["search"]
