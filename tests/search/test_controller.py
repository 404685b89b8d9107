from __future__ import annotations

import copy
import math

import numpy as np
import pytest

from phylon.search import Choice, SearchSpace
from phylon.search.controller import Controller
from phylon.search.decisions import decisions, questions

SPACE = SearchSpace(op=Choice("a", "b", "c"), size=Choice(1, 2))


def drawn(controller: Controller, draws: int = 300) -> list[str]:
    rng = np.random.default_rng(0)
    return [str(controller.sample(SPACE, rng)["op"]) for _ in range(draws)]


def taught(controller: Controller, steps: int = 150) -> Controller:
    """Teach that one architecture is the best."""
    best = next(SPACE.enumerate())
    for _ in range(steps):
        controller.learn(decisions(SPACE, best), 1.0)
    return controller


def test_a_tanh_constant_keeps_every_option_possible() -> None:
    free = taught(Controller(questions(SPACE), 0, rate=0.05, entropy=0.0))
    bound = taught(Controller(questions(SPACE), 0, rate=0.05, entropy=0.0, tanh_constant=1.0))
    assert drawn(free).count("a") > 295
    most = math.exp(1) / (math.exp(1) + 2 * math.exp(-1))
    assert drawn(bound).count("a") / 300 == pytest.approx(most, abs=0.06)


def test_a_temperature_makes_options_more_alike() -> None:
    entropies = []
    for temperature in (1.0, 5.0):
        controller = Controller(
            questions(SPACE), 0, rate=0.02, entropy=0.0, temperature=temperature
        )
        taken = decisions(SPACE, next(SPACE.enumerate()))
        entropies.append(taught(controller, 10).entropy(taken))
    assert entropies[0] < entropies[1]


def test_a_restored_controller_goes_on_as_the_other() -> None:
    first = taught(Controller(questions(SPACE), 0, rate=0.01, entropy=0.1), 5)
    second = Controller(questions(SPACE), 9, rate=0.01, entropy=0.1)
    second.restore(copy.deepcopy(first.state()))
    assert drawn(first) == drawn(second)
    assert drawn(taught(first, 7)) == drawn(taught(second, 7))
    last, other = first.state()["weights"], second.state()["weights"]
    assert all((a == b).all() for a, b in zip(last, other, strict=True))
