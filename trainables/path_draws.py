"""Which paths the weights of a supernet are trained on, and how fast what they share learns."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from phylon.search.architecture import Architecture
from phylon.search.choice import Choice
from phylon.search.decisions import choices, decide
from phylon.search.space import SearchSpace
from phylon.trainables.elastic import OneOf
from phylon.trainables.supernet import Supernet, parts


@final
class PathDraws:
    """Draws paths at random, so that all weights of a supernet learn about as much.

    With equal chances (SPOS, Guo et al. 2020, https://arxiv.org/abs/1904.00420) what all paths
    share learns in every step, an option's weights only when it is drawn. Networks of few weights
    are then trained best and scored too high. Hence the odds of an option are one plus its rank by
    the number of its weights: 1 for those without, 2 for the smallest, and so on. What all paths
    share takes only a part of each update. Sizes of elastic layers are drawn with equal chances:
    the small ones are a part of the large.

    Args:
        space: Where paths are from.
        supernet: Whose weights are trained; it tells which options have how many.

    Attributes:
        pace: The part of an update that shared weights take: the mean chance of options with
            weights, 1 if there are none.
    """

    def __init__(self, space: SearchSpace, supernet: Supernet) -> None:
        self._space = space
        switches = parts(supernet, OneOf)
        own = {weight for switch in switches for weight in switch.parameters()}
        self._shared = [weight for weight in supernet.parameters() if weight not in own]
        self._chances: dict[str, NDArray[np.float64]] = {}
        learning: list[float] = []
        for place, choice in choices(space).items():
            odds = _odds(choice, switches)
            self._chances[place] = odds / odds.sum()
            learning += self._chances[place][odds > 1].tolist()
        self.pace = float(np.mean(learning)) if learning else 1.0

    def draw(self, rng: np.random.Generator) -> Architecture:
        """Return a path."""

        def take(place: str, options: int) -> int:
            return int(rng.choice(options, p=self._chances.get(place)))

        return decide(self._space, take, rng)

    def step(self, optimizer: Any) -> None:  # noqa: ANN401 - Lightning wraps it
        """Let an optimizer take a step, of which shared weights take their part."""
        before = [weight.detach().clone() for weight in self._shared]
        optimizer.step()
        with torch.no_grad():
            for weight, old in zip(self._shared, before, strict=True):
                weight.lerp_(old, 1 - self.pace)


def _odds(choice: Choice, switches: list[OneOf]) -> NDArray[np.float64]:
    """Return the odds of each option: 1 for all if no part of the supernet is chosen by it."""
    names = [str(option) for option in choice.options]
    own = [each for each in switches if {*names} <= dict(each.named_children()).keys()]
    sizes = [0, *(sum(_weights(each, name) for each in own) for name in names)]
    ranks = np.unique(sizes, return_inverse=True)[1]
    return ranks[1:] + np.float64(1)


def _weights(switch: OneOf, option: str) -> int:
    return sum(weight.numel() for weight in switch.get_submodule(option).parameters())
