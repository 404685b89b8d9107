"""Optuna's samplers as strategies: the contract, what each is for, and what is refused."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylon.search import (
    STRATEGIES,
    Architecture,
    Cell,
    Choice,
    Float,
    Integer,
    Outcome,
    SearchSpace,
    Strategy,
    WiredCell,
    make_strategy,
)
from phylon.search.errors import ConfigurationError
from phylon.search.optuna_search import SAMPLERS
from phylon.search.optuna_space import built, distribution, numbers
from phylon.search.testing import MakeStrategy, StrategyTests, digest
from phylon.search.testing_runs import EVERY_NODE, asynchronous

# As in test_strategy_contract.py, and a new version of Optuna may change them too. The Gaussian
# process is left out: it is the same on one machine, but not to nine digits on all.
GOLDEN = {"cmaes": "933c93caad197f57", "nsgaii": "d9c1ec2361eac44f", "tpe": "75bf035d6d4c6c9f"}
LINE = SearchSpace(x=Float(0.0, 1.0), y=Float(1e-4, 1.0, log=True))
PAIRS = [
    *((name, 1) for name in SAMPLERS),
    *((name, 2) for name, each in SAMPLERS.items() if each.several_objectives),
]
ODD = SearchSpace(
    huge=Integer(-(2**53), 2**53),
    ids=Integer(1, 2**53, log=True),
    width=Integer(8, 64, step=8, log=True),
    one=Integer(3, 3, log=True),
    wide=Float(-1e307, 1e307),
    rate=Float(0.0, 0.4, levels=5),
    kind=Choice(1, None, "1"),
    constant=Choice(5),
    cell=Cell(3, ("none", "skip_connect", "conv")),
    wired=WiredCell(2, ("skip_connect", "conv")),
)


class TestTpe(StrategyTests):
    cut_every = 25

    @pytest.fixture
    def make(self) -> MakeStrategy:
        return STRATEGIES["optuna"]


@pytest.mark.parametrize("sampler", GOLDEN)
def test_proposals_are_those_of_earlier_versions(sampler: str) -> None:
    assert digest(partial(STRATEGIES["optuna"], sampler=sampler)) == GOLDEN[sampler]


def length(sampler: str) -> int:
    """Return how many asks show what a sampler does; the Gaussian process is slow."""
    return {"gp": 14, "nsgaii": 45}.get(sampler, 30)


@pytest.mark.parametrize(("sampler", "objectives"), PAIRS)
def test_each_sampler_goes_on_after_a_replay(sampler: str, objectives: int) -> None:
    space = LINE if sampler == "gp" else EVERY_NODE
    make = partial(make_strategy, "optuna", space, objectives=objectives, seed=4, sampler=sampler)
    history = asynchronous(make(), length(sampler))
    assert [c.operator for c, result in history if result is None][-1] == sampler
    for cut in (len(history) // 3, len(history) - 5):
        strategy = make()
        strategy.replay(history[:cut])
        for candidate, result in history[cut:]:
            if result is None:
                assert strategy.ask() == [candidate]
            else:
                strategy.tell(candidate, result)


def losses(strategy: Strategy, n: int, measure: Callable[[Architecture], Outcome]) -> list[float]:
    found = []
    for _ in range(n):
        (candidate,) = strategy.ask()
        result = measure(candidate.architecture)
        strategy.tell(candidate, result)
        found.append(result.losses[0] + result.violation)
    return found


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("constrained", [False, True])
def test_each_sampler_finds_what_is_better(sampler: str, constrained: bool) -> None:
    """The last proposals are much better than the first: near the optimum, or the bound."""

    def measure(net: Architecture) -> Outcome:
        if constrained:  # the less x, the better, but 0.6 is needed
            return Outcome((0.0,), max(0.0, 0.6 - net["x"]))
        return Outcome((abs(net["x"] - 0.7),))

    strategy = make_strategy("optuna", LINE, seed=1, sampler=sampler)
    found = losses(strategy, 15 if sampler == "gp" else 60, measure)
    first = losses(make_strategy("random", LINE, seed=1), 100, measure)
    assert np.mean(found[-5:]) < np.mean(first) / 2


def test_infeasible_is_worse_than_feasible_whatever_the_loss() -> None:
    def measure(net: Architecture) -> Outcome:
        return Outcome((-1e6 * net["x"],), max(0.0, net["x"] - 0.5))

    for sampler in ("tpe", "cmaes", "nsgaii"):
        strategy = make_strategy("optuna", LINE, seed=2, sampler=sampler)
        losses(strategy, 60, measure)
        asked = [candidate.architecture["x"] for candidate in strategy.ask(10)]
        assert np.mean(asked) < 0.6


@pytest.mark.parametrize("space", [EVERY_NODE, ODD])
@given(seed=st.integers(0, 2**32))
def test_architectures_and_parameters_are_the_same_thing(space: SearchSpace, seed: int) -> None:
    net = space.sample(np.random.default_rng(seed))
    parameters = list(numbers(space.root, net.nested, ()))
    for _, node, number in parameters:
        allowed = distribution(node)
        assert allowed._contains(allowed.to_internal_repr(number))
    known = {path: number for path, _, number in parameters}
    assert len(known) == len(parameters)
    back = Architecture(built(space.root, (), lambda path, _: known[path]))
    assert back.flat.keys() == net.flat.keys()
    for name, value in net.flat.items():
        is_number = isinstance(value, int | float)
        assert back.flat[name] == (pytest.approx(value, rel=1e-9) if is_number else value)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_odd_spaces_and_enormous_numbers_are_survived(sampler: str) -> None:
    strategy = make_strategy("optuna", ODD, seed=3, sampler=sampler)
    for number in range(13 if sampler == "gp" else 30):
        (candidate,) = strategy.ask()
        ODD.validate(candidate.architecture)
        strategy.tell(candidate, Outcome((1e300 * (number % 5 - 2),), 1e300 * (number % 2)))


def test_optuna_says_nothing_and_its_verbosity_is_left_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    asynchronous(make_strategy("optuna", EVERY_NODE, sampler="cmaes"), 12)
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"sampler": "bayes"}, r"strategy.sampler is 'bayes'; allowed: tpe, gp, cmaes, nsgaii"),
        ({"sampler": ["tpe"]}, r"strategy.sampler is \['tpe'\]; allowed"),
        ({"sampler": "cmaes", "objectives": 2}, r"has 2; .* use one of: tpe, gp, nsgaii"),
    ],
)
def test_what_cannot_be_done_is_refused(params: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        make_strategy("optuna", LINE, **params)


@pytest.mark.parametrize(("package", "sampler"), [("optuna", "tpe"), ("cmaes", "cmaes")])
def test_a_missing_package_is_named_with_what_to_type(
    package: str, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ConfigurationError, match=rf"needs .* {package},.*pip install 'phylon\[optuna\]'"
    ):
        make_strategy("optuna", LINE, sampler=sampler)
