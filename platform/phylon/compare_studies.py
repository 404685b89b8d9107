"""The studies of a comparison: which may stand beside each other, and which belong together."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from phylon.cluster.location import Location
from phylon.config import StudyConfig
from phylon.errors import ConfigurationError
from phylon.events import Finished
from phylon.history import History, read_history
from phylon.mlflow_names import flatten

_ALIKE = ("name", "seed", "storage", "tracking")  # what studies of one group may differ in
_LONGEST = 60  # characters of a label


@final
@dataclass(frozen=True, slots=True)
class Group:
    """Studies that differ in their seed and in nothing that could change a result.

    Attributes:
        label: What sets the group apart from the others.
        studies: By seed; of equal seeds in the order given. Without the curves of candidates.
        settings: Its settings that are not those of all groups, by dotted key.
    """

    label: str
    studies: tuple[History, ...]
    settings: Mapping[str, object]


def name_of(study: History) -> str:
    """Return the name that a study was given."""
    return str(study.created.config["name"])


def seed_of(study: History) -> int:
    """Return the seed of a study's search."""
    return int(study.created.config["seed"])


def read_groups(places: Sequence[str]) -> list[Group]:
    """Read studies, at least two, and put together those that differ only in their seed.

    Raises:
        ConfigurationError: There are too few, one is named twice, or they search for different
            things.
        StudyError: One is no study.
        JournalError: A journal is damaged.
    """
    if len(places) < 2:
        raise ConfigurationError(
            f"{'one study was' if places else 'no studies were'} given; name at least two to "
            f"compare: phylon compare DIR DIR ..."
        )
    studies = [
        dataclasses.replace(read_history(Location(place).resolved()), curves={}) for place in places
    ]
    _refuse_twins(studies)
    _refuse_other_objectives(studies)
    settings: dict[str, dict[str, object]] = {}
    members: dict[str, list[History]] = {}
    for study in studies:
        own = _settings(study)
        key = json.dumps([own, study.created.space, _digest(study)], sort_keys=True)
        settings[key] = own
        members.setdefault(key, []).append(study)
    differing = _differing_settings(list(settings.values()))
    labels = _labels(differing, list(members.values()))
    return [
        Group(label, tuple(sorted(own, key=seed_of)), told)
        for label, own, told in zip(labels, members.values(), differing, strict=True)
    ]


def caveats(groups: Sequence[Group]) -> Iterator[str]:
    """Yield what a reader has to know before believing a difference, as sentences."""
    data = _differing(groups, _digest)
    if data:
        yield f"The data differ, so the results are hardly comparable. Digests: {data}."
    epochs = _differing(groups, lambda study: str(_config(study).training.epochs))
    if epochs:
        yield f"Candidates train for different numbers of epochs: {epochs}."
    if _differing(groups, lambda study: json.dumps(study.created.space, sort_keys=True)):
        spaces = "; ".join(f"{g.label}: {_space(g.studies[0])}" for g in groups)
        yield f"The search spaces differ: {spaces}."
    bounds = _differing(
        groups, lambda study: ", ".join(map(str, study.state.constraints)) or "none"
    )
    if bounds:
        yield f"The constraints differ, and only candidates that meet them count: {bounds}."
    for study in (study for group in groups for study in group.studies):
        ranking = study.state.ranking("search")
        if not ranking:
            yield f"Study {name_of(study)} has no completed candidate of the search."
        elif study.state.violation(ranking[0]):
            yield f"No candidate of study {name_of(study)} meets its constraints."
        elif not isinstance(study.state.ending, Finished):
            yield f"Study {name_of(study)} is not at its end."


def _refuse_twins(studies: Sequence[History]) -> None:
    seen: dict[str, History] = {}
    for study in studies:
        first = seen.setdefault(study.created.uid, study)
        if first is not study:
            where = study.location if study.location.uri != first.location.uri else "it"
            copy = "" if where == "it" else f" ({where} is a copy of it)"
            raise ConfigurationError(
                f"the study {first.location} is given twice{copy}; name each study once"
            )


def _refuse_other_objectives(studies: Sequence[History]) -> None:
    def told(study: History) -> str:
        return ", ".join(f"{each.direction} {each.metric}" for each in study.state.objectives)

    first = studies[0]
    for other in studies[1:]:
        if other.state.objectives != first.state.objectives:
            raise ConfigurationError(
                f"the studies have different objectives: {first.location} is to {told(first)}, "
                f"{other.location} to {told(other)}; compare studies with the same objectives in "
                f"the same order"
            )


def _config(study: History) -> StudyConfig:
    """Return what was asked for, with defaults for keys that are younger than the study."""
    return StudyConfig.from_json(study.created.config)


def _settings(study: History) -> dict[str, object]:
    """Return what was asked for but for names and seed, by dotted key."""
    config = _config(study).to_json()
    return flatten({key: value for key, value in config.items() if key not in _ALIKE})


def _differing_settings(settings: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Return of each group the settings that are not the same in all."""
    keys = dict.fromkeys(key for own in settings for key in own)
    telling = [key for key in keys if len({json.dumps(own.get(key)) for own in settings}) > 1]
    return [{key: own[key] for key in telling if own.get(key) is not None} for own in settings]


def _digest(study: History) -> str:
    return str(study.created.fingerprint.get("digest", "unknown"))


def _space(study: History) -> str:
    space = _config(study).space
    return space.name if space else "the task's own"


def _labels(
    settings: Sequence[dict[str, object]], members: Sequence[Sequence[History]]
) -> list[str]:
    """Return what sets each group apart in few words: settings if they do, else its studies."""
    parts = [", ".join(str(own[key]) for key in own if key.endswith(".name")) for own in settings]
    every = [", ".join(_word(key, value) for key, value in own.items()) for own in settings]
    names = [_and_more(name_of(group[0]), len(group)) for group in members]
    for labels in (parts, every, names):
        if len(set(labels)) == len(labels) and all(0 < len(each) <= _LONGEST for each in labels):
            return labels
    return [_and_more(str(group[0].location), len(group)) for group in members]


def _and_more(first: str, count: int) -> str:
    return first if count == 1 else f"{first} and {count - 1} more"


def _word(key: str, value: object) -> str:
    if key.endswith(".name"):
        return str(value)
    return f"{key.removeprefix('strategy.')}={value}"


def _differing(groups: Sequence[Group], told: Callable[[History], str]) -> str:
    """Return what is told of each group, if that is not the same of all; else nothing."""
    words = {group.label: told(group.studies[0]) for group in groups}
    if len(set(words.values())) < 2:
        return ""
    return "; ".join(f"{label}: {word}" for label, word in words.items())
