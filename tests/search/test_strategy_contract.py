"""Every registered strategy against the contract; a new strategy needs one golden line here."""

from functools import partial

import pytest

from phylon.search import STRATEGIES
from phylon.search.regularized_evolution import regularized_evolution
from phylon.search.testing import MakeStrategy, StrategyTests, digest

# A change here means that studies begun with an earlier version continue differently. If that is
# meant, say so in the changelog and take the new value from the failure.
GOLDEN = {
    "random": "f7ccfc9a156c6869",
    "regularized_evolution": "6399287310f4312e",
    "regularized_evolution with crossover": "bff44c3442b64093",
}
MAKES: dict[str, MakeStrategy] = {
    **STRATEGIES,
    "regularized_evolution with crossover": partial(regularized_evolution, crossover=0.5),
}
SEVERAL = [name for name, recipe in STRATEGIES.items() if recipe.several_objectives]


class TestEveryStrategy(StrategyTests):
    @pytest.fixture(params=MAKES)
    def make(self, request: pytest.FixtureRequest) -> MakeStrategy:
        return MAKES[request.param]


class TestStrategiesForSeveralObjectives(StrategyTests):
    objectives = 2

    @pytest.fixture(params=SEVERAL)
    def make(self, request: pytest.FixtureRequest) -> MakeStrategy:
        return STRATEGIES[request.param]


@pytest.mark.parametrize("name", MAKES)
def test_proposals_are_those_of_earlier_versions(name: str) -> None:
    assert digest(MAKES[name]) == GOLDEN[name]
