"""Reading earlier studies that a new one is to learn from."""

from __future__ import annotations

from phylon.cluster.location import Location
from phylon.config import StudyConfig
from phylon.errors import ConfigurationError, EvaluationError
from phylon.search.architecture import Architecture
from phylon.search.constraint import total_violation
from phylon.search.objective import losses
from phylon.search.space import SearchSpace
from phylon.search.warm_start import Earlier
from phylon.state import StudyState
from phylon.study import read_state


def read_earlier(config: StudyConfig, space: SearchSpace) -> list[Earlier]:
    """Read the studies that `config.warm_start` names, but for what misses the constraints now.

    Raises:
        ConfigurationError: One is no study, was over another space, or did not measure what is the
            objective now.
        JournalError: A journal is damaged.
    """
    return [
        _earlier(f"warm_start.{position}: {folder}", Location(folder), config, space)
        for position, folder in enumerate(config.warm_start)
    ]


def _earlier(place: str, location: Location, config: StudyConfig, space: SearchSpace) -> Earlier:
    state = read_state(location)
    if state.created is None:
        raise ConfigurationError(
            f"{place} is no study: {location.resolved()} has no journal; `phylon list ROOT` shows "
            f"the studies of a folder"
        )
    _check_space(place, state, space)
    results: list[tuple[Architecture, tuple[float, ...]]] = []
    problem = ""
    ranking = state.ranking("search")
    # Scores with shared weights and results of training are not on one scale.
    alike = (r for r in ranking if r.candidate.is_scored == ranking[0].candidate.is_scored)
    for record in alike:
        bounds = [each for each in config.constraints if each.metric in record.metrics]
        try:
            values = losses(config.objectives, record.metrics)
            missed = total_violation(bounds, record.metrics)
        except EvaluationError as error:  # a metric that is missing, or NaN
            problem = str(error)
            continue
        if not missed:
            results.append((record.candidate.architecture, values))
    if problem and not results:
        raise ConfigurationError(f"{place} measured something else: {problem}")
    return Earlier(state.created.fingerprint, results)


def _check_space(place: str, state: StudyState, space: SearchSpace) -> None:
    """Refuse a study of which an architecture is not in the space, and say why."""
    networks = (r.candidate for r in state.records.values() if r is not state.supernet)
    tried = (candidate.architecture for candidate in networks)
    if state.created is None or all(architecture in space for architecture in tried):
        return
    before = SearchSpace.from_json(state.created.space)
    raise ConfigurationError(
        f"{place} searched another space: {'; '.join(before.differences(space))}; name a study "
        f"whose architectures are in this study's space"
    )
