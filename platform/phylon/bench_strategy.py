"""The strategies that a bench compares, as the command line names them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from phylon.bench_problem import Problem
from phylon.config_file import read_setting
from phylon.errors import ConfigurationError, SpaceError
from phylon.search.architecture import Architecture
from phylon.search.registry import check_parameters, make_strategy
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy
from phylon.search.zero_cost import PROXIES, best_by_proxies, draw_networks

ZERO_COST_SAMPLES = 3000
_NEXT_SETTING = re.compile(r",(?=\s*[A-Za-z_][\w.]*=)")
_NOTHING = dict.fromkeys(PROXIES, float("nan"))


@final
@dataclass(frozen=True, slots=True)
class Contestant:
    """A strategy with its parameters.

    Attributes:
        name: What the user wrote.
        strategy: The strategy's name.
        params: Its own parameters.
        is_zero_cost: Whether it begins with what zero-cost proxies rank best.
    """

    name: str
    strategy: str
    params: Mapping[str, Any]
    is_zero_cost: bool = False

    @classmethod
    def parse(cls, text: str, settings: Sequence[str] = ()) -> Contestant:
        """Read ``name,key=value,...``.

        Args:
            text: The strategy; its values are YAML.
            settings: Parameters for every strategy, as ``key=value``; the strategy's own win.

        Raises:
            ConfigurationError: Something is no key and value.
        """
        name, *own = _NEXT_SETTING.split(text)
        params: dict[str, object] = {}
        places = [*((f"--set {each}", each) for each in settings)]
        places += [(f"--strategy {text}", each) for each in own]
        for place, setting in places:
            parts, value = read_setting(setting, place, "population=20")
            params[".".join(parts)] = value
        is_zero_cost = params.get("initial") == "zero_cost"
        if is_zero_cost:
            del params["initial"]
        return cls(text, name.strip(), params, is_zero_cost)

    def make(self, problem: Problem, seed: int) -> Strategy:
        """Return the strategy at the beginning of a study.

        Raises:
            ConfigurationError: There is no such strategy or parameter, or a value is not allowed.
        """
        objectives = problem.losses.shape[1]
        try:
            check_parameters(self.params)
            strategy = make_strategy(
                self.strategy, problem.space, objectives=objectives, seed=seed, **self.params
            )
        except (ConfigurationError, SpaceError) as error:
            raise ConfigurationError(f"--strategy {self.name}: {error}") from error
        if self.is_zero_cost:
            if problem.proxies is None:
                cure = "give a table of them by --proxies"
                raise ConfigurationError(f"--strategy {self.name}: proxies are needed; {cure}")
            strategy.prime(start=_promising(problem.space, problem.proxies, strategy))
        return strategy


def _promising(
    space: SearchSpace, proxies: Mapping[Architecture, Mapping[str, float]], strategy: Strategy
) -> list[Architecture]:
    """Return half an initial design: those of many random networks that proxies rank best."""
    networks = draw_networks(space, ZERO_COST_SAMPLES, strategy.seed)
    scores = [proxies.get(architecture, _NOTHING) for architecture in networks]
    return [networks[place] for place in best_by_proxies(scores, strategy.initial // 2)]
