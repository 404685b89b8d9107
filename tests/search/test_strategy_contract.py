"""Every registered strategy against the contract; a new strategy needs one golden line here."""

from functools import partial

import pytest

from phylon.search import STRATEGIES
from phylon.search.halving import halving
from phylon.search.lamarckian import lamarckian
from phylon.search.pbt import pbt
from phylon.search.regularized_evolution import regularized_evolution
from phylon.search.testing import MakeStrategy, StrategyTests, digest

# A change here means that studies begun with an earlier version continue differently. If that is
# meant, say so in the changelog and take the new value from the failure.
GOLDEN = {
    "bananas": "975cab81d31c6c3f",
    "enas": "f7ccfc9a156c6869",
    "halving of random": "5d99b7ca556036ee",
    "halving of regularized_evolution": "7025764ef70f41aa",
    "hill_climb": "1edc8cd387f867f2",
    "lamarckian": "2e642dcc9f8d80d1",
    "lamarckian by generations": "57e66724d0e82c08",
    "local_search": "d28b5245a8a2bab7",
    "nsga2": "c7e2188f0d9465de",
    "pbt": "172f3e3b44051b7e",
    "pbt by generations": "0f4023d09b3879ce",
    "pnas": "68b5ce87269001bf",
    "random": "f7ccfc9a156c6869",
    "regularized_evolution": "6399287310f4312e",
    "regularized_evolution with crossover": "bff44c3442b64093",
    "regularized_evolution with repeats": "1c52a89da8bee8f3",
    "reinforce": "5ee8a20f00ef8fc1",
    "surrogate": "ec8c4ad04b5e19bb",
}
ELSEWHERE = {"optuna"}  # in test_optuna.py, since it is slow
MAKES: dict[str, MakeStrategy] = {
    **{
        name: recipe
        for name, recipe in STRATEGIES.items()
        if not recipe.takes_epochs and name not in ELSEWHERE
    },
    "halving of random": partial(halving, of="random", epochs=9),
    "halving of regularized_evolution": partial(
        halving, of={"name": "regularized_evolution", "population": 5, "sample": 3}, epochs=8, eta=2
    ),
    "lamarckian by generations": partial(lamarckian, generational=True),
    "pbt by generations": partial(pbt, generational=True),
    "regularized_evolution with crossover": partial(regularized_evolution, crossover=0.5),
    "regularized_evolution with repeats": partial(regularized_evolution, repeats=True),
}
SEVERAL: dict[str, MakeStrategy] = {
    **{
        name: MAKES[name]
        for name, each in STRATEGIES.items()
        if each.several_objectives and name in MAKES
    },
    "halving of random": MAKES["halving of random"],
    "halving of nsga2": partial(halving, of="nsga2", epochs=9),
}


LEARNED = ("bananas", "pnas", "reinforce", "surrogate")
"""Those that fit a model when they propose, and so take long to replay at every cut."""


class TestEveryStrategy(StrategyTests):
    @pytest.fixture(params=MAKES)
    def make(self, request: pytest.FixtureRequest) -> MakeStrategy:
        self.cut_every = 5 if request.param in LEARNED else 1
        return MAKES[request.param]


class TestStrategiesForSeveralObjectives(StrategyTests):
    objectives = 2

    @pytest.fixture(params=SEVERAL)
    def make(self, request: pytest.FixtureRequest) -> MakeStrategy:
        self.cut_every = 5 if request.param in LEARNED else 1
        return SEVERAL[request.param]


@pytest.mark.parametrize("name", MAKES)
def test_proposals_are_those_of_earlier_versions(name: str) -> None:
    assert digest(MAKES[name]) == GOLDEN[name]
