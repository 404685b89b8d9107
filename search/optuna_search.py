"""The samplers of Optuna as strategies."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, final

import numpy as np
from typing_extensions import override

from phylon.search.architecture import Architecture, dotted
from phylon.search.candidate import Candidate, Outcome
from phylon.search.errors import ConfigurationError
from phylon.search.optuna_space import built, distribution, numbers, suggestion
from phylon.search.proposal import Proposal
from phylon.search.ranks import Rank, rank_of
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy

if TYPE_CHECKING:
    import optuna

_RANDOM_TRIES = 100  # draws of something new where the sampler has nothing new to say
_LARGEST = 1e100
_ONCE = datetime(2020, 1, 1)  # of no consequence, but Optuna wants a time
_STUDY = 0  # what Optuna calls the only study of a storage in memory


@dataclass(frozen=True)
class _Sampler:
    """A sampler of Optuna.

    Attributes:
        kind: Its class in `optuna.samplers`.
        options: Keywords of the class.
        initial: How many candidates it draws at random first.
        needs: A package that Optuna itself does not install.
        several_objectives: Whether it takes more than one.
        tries: How often it is asked for a network that is new.
        leaves_notes: Whether asking it writes down what later asks depend on. What it writes must
            be a function of the trials so far, not of its random numbers.
        ranks: Whether it is told ranks instead of losses, since it does not know constraints.
    """

    kind: str
    options: Mapping[str, object]
    initial: int
    needs: str = "optuna"
    several_objectives: bool = True
    tries: int = 5
    leaves_notes: bool = False
    ranks: bool = False


_QUIET = {"warn_independent_sampling": False}
SAMPLERS = {
    "tpe": _Sampler("TPESampler", {"n_startup_trials": 10}, 10),
    "gp": _Sampler("GPSampler", {"n_startup_trials": 10, **_QUIET}, 10, tries=2),
    "cmaes": _Sampler(
        "CmaEsSampler", _QUIET, 1, "cmaes", several_objectives=False, leaves_notes=True, ranks=True
    ),
    "nsgaii": _Sampler("NSGAIISampler", {"population_size": 20}, 20, leaves_notes=True),
}


class _Kept(dict[str, Any]):
    """A dict that nobody changes, so that Optuna, which copies what it is given, need not."""

    def __deepcopy__(self, memo: object) -> _Kept:
        return self


@dataclass(slots=True)
class _Trial:
    """A candidate as Optuna sees it, and what its sampler noted when it was asked."""

    params: _Kept
    distributions: _Kept
    notes: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None


@final
class OptunaSearch(Strategy):
    """A sampler of Optuna 5 (Akiba et al. 2019, https://arxiv.org/abs/1907.10902).

    Each decision is a parameter of Optuna, named by its path; those below an option of a choice, or
    in an item of a repeat, exist where that option or item does. Options are known to Optuna by
    their position alone; floats, and integers of more than 1,000 values, are parameters from 0 to 1
    on their own scale. What is asked but not told is a running trial, what failed a failed one.
    Constraints are Optuna's own; ``cmaes``, which has none, is told ranks instead of losses.

    If five asks of a sampler (``gp``: two) bring nothing new, a network is drawn at random.
    Optuna's study is built anew from the history for each proposal, in time linear in its length.

    Args:
        space: Where to search.
        objectives: Number of losses in each outcome; 1 for ``cmaes``.
        seed: 0 or more.
        sampler: ``tpe``: a tree-structured Parzen estimator, multivariate where there is one
            objective; the first 10 are random. ``gp``: a Gaussian process with log expected
            improvement, or hypervolume improvement; the first 10 are random. ``cmaes``: evolves
            integers and floats that every architecture has; it draws all other decisions at random.
            ``nsgaii``: populations of 20. All else is Optuna's default.

    Raises:
        ConfigurationError: There is no such sampler, it does not take so many objectives, or a
            package is not installed.
    """

    def __init__(
        self, space: SearchSpace, *, objectives: int = 1, seed: int = 0, sampler: str = "tpe"
    ) -> None:
        super().__init__(space, objectives=objectives, seed=seed)
        if not isinstance(sampler, str) or sampler not in SAMPLERS:
            raise ConfigurationError(
                f"strategy.sampler is {sampler!r}; allowed: {', '.join(SAMPLERS)}"
            )
        self._sampler = SAMPLERS[sampler]
        if objectives > 1 and not self._sampler.several_objectives:
            able = ", ".join(name for name, each in SAMPLERS.items() if each.several_objectives)
            raise ConfigurationError(
                f"strategy.sampler: `{sampler}` takes one objective but the study has "
                f"{objectives}; give one objective, or use one of: {able}"
            )
        for package in ("optuna", self._sampler.needs):
            _check_installed(package, sampler)
        self.initial = self._sampler.initial
        self._name = sampler
        self._trials: list[_Trial] = []
        self._notes: dict[str, Any] = {}

    @property
    @override
    def living(self) -> Collection[int]:
        return ()

    def _propose(self, rng: np.random.Generator) -> Proposal:
        with _quiet():
            study = self._study(int(rng.integers(2**31)))
            for _ in range(self._sampler.tries):
                # What is left running here is kept away from by the next of these asks.
                found = self._suggested(study.ask())
                if self.space.key(found) not in self._keys:
                    break
        if self.space.key(found) not in self._keys:
            return Proposal(found, operator=self._name)
        for _ in range(_RANDOM_TRIES):
            drawn = self.space.sample(rng)
            if self.space.key(drawn) not in self._keys:
                return Proposal(drawn)
        return Proposal(found, operator=self._name)

    def _accept(self, candidate: Candidate) -> None:
        params, distributions = _Kept(), _Kept()
        for path, node, number in numbers(self.space.root, candidate.architecture.nested, ()):
            name = dotted(path)
            params[name], distributions[name] = number, distribution(node)
        trial = _Trial(params, distributions)
        if self._sampler.leaves_notes:
            with _quiet():
                asked = self._study(seed=0).ask()
                asked.relative_params  # noqa: B018 - a property that makes the notes
                trial.notes = asked.storage.get_all_trials(_STUDY)[-1].system_attrs
                self._notes = asked.storage.get_study_system_attrs(_STUDY)
        self._trials.append(trial)

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        self._trials[candidate.id].outcome = outcome

    def _suggested(self, trial: optuna.Trial) -> Architecture:
        return Architecture(built(self.space.root, (), partial(suggestion, trial)))

    def _study(self, seed: int) -> optuna.Study:
        """Return all that was asked and told as a study of Optuna, with a sampler so seeded."""
        import optuna

        sampler = getattr(optuna.samplers, self._sampler.kind)
        storage = optuna.storages.InMemoryStorage()
        study = optuna.create_study(
            storage=storage,
            directions=["minimize"] * self.objectives,
            sampler=sampler(seed=seed, **self._sampler.options),
        )
        for key, note in self._notes.items():
            storage.set_study_system_attr(_STUDY, key, note)
        for trial in self._frozen():
            storage.create_new_trial(_STUDY, trial)
        return study

    def _frozen(self) -> Iterator[optuna.trial.FrozenTrial]:
        from optuna.trial import FrozenTrial, TrialState

        told = [trial.outcome for trial in self._trials if trial.outcome]
        constrained = any(outcome.violation > 0 for outcome in told)
        ranks = _ranks(told) if self._sampler.ranks else {}
        for trial in self._trials:
            outcome = trial.outcome
            state = TrialState.FAIL if outcome else TrialState.RUNNING
            values: tuple[float, ...] | None = None
            if outcome and outcome.losses:
                state = TrialState.COMPLETE
                values = tuple(map(_bounded, outcome.losses))
                if self._sampler.ranks:
                    values = (ranks[rank_of(outcome)],)
            frozen = FrozenTrial(
                number=-1,  # the storage gives the next
                trial_id=-1,
                state=state,
                value=None,
                values=values,
                datetime_start=_ONCE,
                datetime_complete=_ONCE if outcome else None,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={},
                system_attrs=_Kept(trial.notes),
                intermediate_values={},
            )
            if outcome and values and constrained and not self._sampler.ranks:
                frozen.set_constraint("violation", _bounded(outcome.violation))
            yield frozen


def _check_installed(package: str, sampler: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError:
        raise ConfigurationError(
            f"strategy.sampler: `{sampler}` needs the package {package}, which is not installed; "
            f"pip install 'phylon[optuna]'"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from logging each study that is made."""
    from optuna import logging

    level = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _bounded(number: float) -> float:
    """Return a number whose square does not overflow."""
    return min(max(number, -_LARGEST), _LARGEST)


def _ranks(told: Sequence[Outcome]) -> dict[Rank, float]:
    """Return the place of each result among all, those that miss the constraints last."""
    ordered = sorted({rank_of(outcome) for outcome in told if outcome.losses})
    return {rank: float(place) for place, rank in enumerate(ordered)}
