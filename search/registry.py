"""Strategies by the names they have in study files."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import final

from phylon.search.bananas import Bananas
from phylon.search.checks import check_flag
from phylon.search.enas import Enas
from phylon.search.errors import ConfigurationError, did_you_mean
from phylon.search.halving import halving
from phylon.search.hill_climb import hill_climb
from phylon.search.lamarckian import lamarckian
from phylon.search.local_search import LocalSearch
from phylon.search.named import import_object
from phylon.search.nsga2 import nsga2
from phylon.search.optuna_search import OptunaSearch
from phylon.search.pbt import pbt
from phylon.search.pnas import Pnas
from phylon.search.random_search import RandomSearch
from phylon.search.regularized_evolution import regularized_evolution
from phylon.search.reinforce import Reinforce
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy
from phylon.search.surrogate import Surrogate

_OF_THE_STUDY = {
    "space": "space",
    "objectives": "objectives",
    "seed": "seed",
    "epochs": "training.epochs",
    "candidates": "budget.candidates",
}
"""What strategies are made with besides their own parameters, and where studies say it."""


@final
@dataclass(frozen=True)
class Recipe:
    """How to make a strategy, and what it can do.

    Attributes:
        build: Called with the space, ``objectives=``, ``seed=``, the strategy's own keywords, and
            what of this it takes: ``epochs=``, the study's ``training.epochs``, None where nothing
            is trained; ``candidates=``, the study's ``budget.candidates``, None without such a
            bound.
        several_objectives: Whether it can handle more than one objective.
    """

    build: Callable[..., Strategy]
    several_objectives: bool = False

    @property
    def takes_epochs(self) -> bool:
        """Whether it decides how long candidates train."""
        return "epochs" in inspect.signature(self.build).parameters

    @property
    def parameters(self) -> dict[str, object]:
        """The strategy's own parameters and their defaults."""
        known = inspect.signature(self.build).parameters
        return {
            name: parameter.default
            for name, parameter in known.items()
            if name not in _OF_THE_STUDY
        }

    def __call__(
        self,
        space: SearchSpace,
        *,
        objectives: int = 1,
        seed: int = 0,
        epochs: int | None = None,
        candidates: int | None = None,
        **params: object,
    ) -> Strategy:
        """Make the strategy; its parameters must be known."""
        if self.takes_epochs:
            params["epochs"] = epochs
        if "candidates" in inspect.signature(self.build).parameters:
            params["candidates"] = candidates
        return self.build(space, objectives=objectives, seed=seed, **params)


STRATEGIES: dict[str, Recipe] = {
    "bananas": Recipe(Bananas),
    "enas": Recipe(Enas),
    "halving": Recipe(halving, several_objectives=True),
    "hill_climb": Recipe(hill_climb),
    "lamarckian": Recipe(lamarckian, several_objectives=True),
    "local_search": Recipe(LocalSearch),
    "nsga2": Recipe(nsga2, several_objectives=True),
    "optuna": Recipe(OptunaSearch, several_objectives=True),
    "pbt": Recipe(pbt),
    "pnas": Recipe(Pnas),
    "random": Recipe(RandomSearch, several_objectives=True),
    "regularized_evolution": Recipe(regularized_evolution),
    "reinforce": Recipe(Reinforce),
    "surrogate": Recipe(Surrogate, several_objectives=True),
}


def make_strategy(
    name: str,
    space: SearchSpace,
    *,
    objectives: int = 1,
    seed: int = 0,
    epochs: int | None = None,
    candidates: int | None = None,
    inherit: bool | None = None,
    **params: object,
) -> Strategy:
    """Return a new strategy.

    Args:
        name: A key of `STRATEGIES`, or ``package.module:object`` for a `Strategy` class, a function
            that makes one, or a `Recipe`.
        space: Where to search.
        objectives: Number of objectives of the study.
        seed: The study's seed, 0 or more.
        epochs: The study's ``training.epochs``; None where nothing is trained, as with tables.
        candidates: The study's ``budget.candidates``; None if it has no such bound.
        inherit: Whether children begin with the weights of their first parent; None for what the
            strategy does by itself, which is to leave them random unless inheriting is its idea.
        params: The strategy's own parameters.

    Raises:
        ConfigurationError: There is no such strategy or parameter, a value is not allowed, or the
            strategy cannot handle so many objectives, or cannot do without inheriting.
    """
    recipe = _recipe(name)
    if objectives > 1 and not recipe.several_objectives:
        able = ", ".join(sorted(key for key, each in STRATEGIES.items() if each.several_objectives))
        raise ConfigurationError(
            f"strategy.name: `{name}` takes one objective but the study has {objectives}; "
            f"give one objective, or use one of: {able}"
        )
    for param in params:
        if param not in recipe.parameters:
            known = did_you_mean(param, [*recipe.parameters, "inherit"])
            raise ConfigurationError(f"strategy.{param}: `{name}` has no such parameter; {known}")
    strategy = recipe(
        space, objectives=objectives, seed=seed, epochs=epochs, candidates=candidates, **params
    )
    if inherit is not None:
        _let_inherit(strategy, name, inherit)
    return strategy


def check_parameters(names: Iterable[str]) -> None:
    """Refuse parameters of a strategy that are for the study to say.

    Raises:
        ConfigurationError: There is one; the message tells where to say it.
    """
    for name in names:
        if name in _OF_THE_STUDY:
            raise ConfigurationError(
                f"strategy.{name}: the study says that, not its strategy; set "
                f"`{_OF_THE_STUDY[name]}`"
            )


def _let_inherit(strategy: Strategy, name: str, inherit: bool) -> None:
    check_flag("inherit", inherit)
    if strategy.inherits and not inherit:
        raise ConfigurationError(
            f"strategy.inherit is {inherit}, but `{name}` is about children that begin with the "
            "weights of a parent; leave `inherit` out, or name another strategy"
        )
    strategy.inherits = inherit


def _recipe(name: str) -> Recipe:
    if ":" in name:
        own = import_object("strategy.name", name)
        if isinstance(own, Recipe):
            return own
        if callable(own):
            return Recipe(own)
        raise ConfigurationError(
            f"strategy.name: `{name}` is a {type(own).__name__}; needed is a Strategy class, or a "
            f"function that makes one"
        )
    if name not in STRATEGIES:
        raise ConfigurationError(
            f"strategy.name: unknown strategy `{name}`; {did_you_mean(name, STRATEGIES)}; your own "
            f"is written `package.module:object`"
        )
    return STRATEGIES[name]
