import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from phylon.search import (
    STRATEGIES,
    Architecture,
    Choice,
    Float,
    Outcome,
    Repeat,
    SearchSpace,
    make_strategy,
)
from phylon.search.errors import ConfigurationError, SpaceExhausted
from phylon.search.evolution import Evolution, Member
from phylon.search.selection import tournament
from phylon.search.survival import fittest, youngest
from phylon.search.testing_runs import ask

SPACE = SearchSpace(
    lr=Float(1e-4, 1.0, log=True), ops=Repeat(Choice("conv", "pool", "skip", "none"), 10, 10)
)


def regret(net: Architecture) -> float:
    """Return the distance from the only best architecture: all convolutions, lr 0.01."""
    wrong: int = sum(op != "conv" for op in net["ops"])
    return abs(math.log10(net["lr"]) + 2) / 2 + wrong


def best_of(name: str, seed: int, budget: int, **params: Any) -> float:
    """Search with four candidates under way at a time, and return the least regret."""
    strategy = make_strategy(name, SPACE, seed=seed, **params)
    running, regrets = strategy.ask(4), list[float]()
    while running:
        candidate = running.pop(0)
        regrets.append(regret(candidate.architecture))
        strategy.tell(candidate, Outcome((regrets[-1],)))
        if strategy.asked < budget:
            running += ask(strategy, 1)
    return min(regrets)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("regularized_evolution", {}),
        ("regularized_evolution", {"crossover": 0.5}),
        ("regularized_evolution", {"repeats": True}),
        ("nsga2", {}),
        ("local_search", {}),
        ("hill_climb", {}),
        ("lamarckian", {}),
        ("lamarckian", {"generational": True}),
    ],
)
def test_it_beats_random_search(name: str, params: dict[str, Any]) -> None:
    random, found = (
        np.mean([best_of(each, seed, 100, **kwargs) for seed in range(10)])
        for each, kwargs in (("random", {}), (name, params))
    )
    assert found < 0.5 * random


def test_evolution_finds_the_best_architecture() -> None:
    assert best_of("regularized_evolution", seed=0, budget=600) < 0.1


def test_the_youngest_survive_in_whatever_order_results_come() -> None:
    net = SPACE.sample(np.random.default_rng(0))
    members = [Member(i, net, 0, (float(i),)) for i in (3, 1, 4, 0, 2)]
    assert [member.id for member in youngest(3)(members)] == [2, 3, 4]


def test_the_fittest_survive_feasible_ones_first() -> None:
    net = SPACE.sample(np.random.default_rng(0))
    members = [Member(i, net, 0, (float(loss),)) for i, loss in enumerate((3, 1, 2, 1))]
    members.append(Member(4, net, 0, (0.0,), violation=0.5))
    assert [member.id for member in fittest(3)(members[::-1])] == [1, 3, 2]
    assert [member.id for member in fittest(1)(members[4:])] == [4]


def test_tournaments_prefer_the_fit_and_then_the_old() -> None:
    net = SPACE.sample(np.random.default_rng(0))
    members = [Member(i, net, 0, (loss,)) for i, loss in enumerate((2.0, 1.0, 1.0, 3.0))]
    rng = np.random.default_rng(0)
    winners = [tournament(3)(members, rng).id for _ in range(300)]
    assert winners.count(1) > winners.count(2) > winners.count(3) > 0


def test_old_members_die_however_good() -> None:
    strategy = make_strategy("regularized_evolution", SPACE, population=3, sample=1)
    assert isinstance(strategy, Evolution)
    for candidate in strategy.ask(5):
        strategy.tell(candidate, Outcome((float(candidate.id),)))
    assert [member.id for member in strategy.population] == [2, 3, 4]
    assert strategy.ask()[0].parents[0] in (2, 3, 4)


def test_repeats_are_measured_again_only_where_asked_for() -> None:
    space = SearchSpace(act=Choice("relu", "gelu"), kernel=Choice(3, 5))
    strategy = make_strategy("regularized_evolution", space, population=4, sample=2, repeats=True)
    for _ in range(12):
        (candidate,) = strategy.ask()
        strategy.tell(candidate, Outcome((float(candidate.architecture["kernel"]),)))
    once = make_strategy("regularized_evolution", space, population=4, sample=2)
    assert len(once.ask(12)) == 4


def test_hill_climbing_mutates_the_best_so_far() -> None:
    strategy = make_strategy("hill_climb", SPACE, starts=4)
    for candidate in strategy.ask(4):
        strategy.tell(candidate, Outcome((abs(candidate.id - 2.0),)))
    first, second = strategy.ask(2)
    assert (first.parents, second.parents) == ((2,), (2,))
    strategy.tell(second, Outcome((-1.0,)))
    strategy.tell(first, Outcome((-0.5,)))
    assert strategy.ask()[0].parents == (second.id,)


def test_first_proposals_are_random_then_mutations_of_the_living() -> None:
    strategy = make_strategy("regularized_evolution", SPACE, population=4, sample=2)
    first = strategy.ask(6)
    assert [c.operator for c in first] == ["sample"] * 6  # nobody lives yet
    strategy.tell(first[5], Outcome((1.0,)))
    (child,) = strategy.ask()
    assert (child.operator, child.parents, child.generation) == ("mutate", (5,), 1)


def test_crossover_has_two_parents() -> None:
    strategy = make_strategy("regularized_evolution", SPACE, population=4, sample=2, crossover=1.0)
    for candidate in strategy.ask(4):
        strategy.tell(candidate, Outcome((1.0,)))
    assert {(c.operator, len(c.parents)) for c in strategy.ask(5)} == {("crossover", 2)}


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_space_of_one_architecture_is_soon_exhausted(name: str) -> None:
    strategy = make_strategy(name, SearchSpace(a=Choice(1)), epochs=3)
    only, *again = strategy.ask(3)
    assert len(again) == 2 * strategy.repeats
    if strategy.repeats:
        return
    strategy.tell(only, Outcome((0.0,)))
    with pytest.raises(SpaceExhausted, match="all 1 architectures"):
        strategy.ask()


def test_an_infinite_space_with_few_values_ends_too() -> None:
    strategy = make_strategy("random", SearchSpace(a=Float(1.0, 1.0000000000000002)))
    assert len(strategy.ask(5)) == 2
    with pytest.raises(SpaceExhausted):
        strategy.ask()


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("evolution", {}, "strategy.name: unknown strategy `evolution`; did you mean `regul"),
        (
            "random",
            {"population": 3},
            "strategy.population: `random` has no such parameter; Known: inherit",
        ),
        (
            "regularized_evolution",
            {"popluation": 3},
            r"strategy.popluation: .*did you mean `population`\?",
        ),
        ("regularized_evolution", {"population": 0}, "strategy.population is 0; allowed: int"),
        ("regularized_evolution", {"population": 2.5}, "strategy.population is 2.5"),
        ("regularized_evolution", {"population": "8"}, "strategy.population is '8'"),
        (
            "regularized_evolution",
            {"population": 4, "sample": 5},
            r"strategy.sample is 5; allowed: integers from 1 to strategy.population \(4\)",
        ),
        ("regularized_evolution", {"population": 4, "sample": 0}, "strategy.sample is 0; allowed"),
        ("regularized_evolution", {"crossover": 1.5}, "strategy.crossover is 1.5; allowed"),
        (
            "regularized_evolution",
            {"repeats": "yes"},
            "strategy.repeats is 'yes'; allowed: true, f",
        ),
        ("hill_climb", {"starts": 0}, "strategy.starts is 0; allowed: integers from 1 up"),
        (
            "regularized_evolution",
            {"objectives": 2},
            "`regularized_evolution` takes one objective but the study has 2; .*one of: .*random",
        ),
        ("random", {"objectives": 0}, "0 objectives"),
        ("random", {"seed": -1}, "seed is -1"),
    ],
)
def test_wrong_configuration_names_the_key_and_the_cure(
    name: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_strategy(name, SPACE, **params)


def test_importing_search_is_light() -> None:
    code = (
        "import phylon.search, sys; "
        "heavy = 'torch ray mlflow pyarrow scipy sklearn moocore optuna pytest'; "
        "print(set(heavy.split()) & set(sys.modules))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert child.stdout.strip() == "set()"
