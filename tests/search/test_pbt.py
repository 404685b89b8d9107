"""Population-based training: who continues, who exploits whom, and what is explored."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from phylon.search import (
    Candidate,
    Choice,
    Float,
    Outcome,
    SearchSpace,
    Strategy,
    make_strategy,
)
from phylon.search.errors import ConfigurationError, Waiting
from phylon.search.halving import halving

SPACE = SearchSpace(
    lr=Float(1e-4, 1.0, log=True), dropout=Float(0.0, 0.5), op=Choice("conv", "pool", "skip")
)


def tell(strategy: Strategy, candidates: list[Candidate], losses: list[float]) -> None:
    for candidate, loss in zip(candidates, losses, strict=True):
        strategy.tell(candidate, Outcome((loss,)))


def test_the_last_quarter_copies_the_first_and_the_others_continue() -> None:
    strategy = make_strategy("pbt", SPACE, population=8, generational=True)
    first = strategy.ask(8)
    assert {(c.operator, c.parents, c.inherit_from) for c in first} == {("sample", (), None)}
    tell(strategy, first, [0.0, 0.7, 0.2, 0.3, 0.1, 0.5, 0.6, 0.4])
    second = strategy.ask(8)
    for before, after in zip(first, second, strict=True):
        assert after.inherit_from == after.parents[0]
        assert after.generation == 1
        if before.id in (1, 6):
            assert after.operator.startswith("exploit")
            assert after.parents[0] in (0, 4)
        else:
            assert (after.operator, after.parents) == ("continue", (before.id,))
            assert after.architecture == before.architecture


def test_exploiting_explores_every_float_and_with_some_chance_the_architecture() -> None:
    seen = set[str]()
    redrawn = 0
    for seed in range(60):
        strategy = make_strategy("pbt", SPACE, population=2, quantile=0.5, seed=seed)
        first = strategy.ask(2)
        tell(strategy, first, [0.0, 1.0])
        _, child = strategy.ask(2)
        best, net = first[0].architecture, child.architecture
        assert child.parents == (0,)
        for name, low, high in (("lr", 1e-4, 1.0), ("dropout", 0.0, 0.5)):
            moved = {np.clip(best[name] * factor, low, high) for factor in (0.8, 1.2)}
            redrawn += net[name] not in moved
        assert (net["op"] != best["op"]) == (child.operator == "exploit+mutate")
        seen.add(child.operator)
    assert seen == {"exploit", "exploit+mutate"}
    assert 10 < redrawn < 50


@pytest.mark.parametrize(("mutation", "operator"), [(0.0, "exploit"), (1.0, "exploit+mutate")])
def test_the_architecture_is_mutated_as_often_as_asked(mutation: float, operator: str) -> None:
    strategy = make_strategy("pbt", SPACE, population=4, mutation=mutation, generational=True)
    tell(strategy, strategy.ask(4), [0.0, 1.0, 2.0, 3.0])
    assert strategy.ask(4)[3].operator == operator


def test_a_member_goes_on_at_once_and_is_compared_with_the_newest_of_all() -> None:
    strategy = make_strategy("pbt", SPACE, population=4)
    first = strategy.ask(9)
    assert len(first) == 4
    with pytest.raises(Waiting, match="before one of 4 is told"):
        strategy.ask()
    tell(strategy, first[:1], [0.5])
    (second,) = strategy.ask(9)  # nobody else is known
    assert (second.operator, second.parents) == ("continue", (0,))
    tell(strategy, first[1:3], [0.4, 0.3])
    tell(strategy, [second], [0.45])
    children = strategy.ask(9)
    assert [c.parents for c in children] == [(1,), (2,), (2,)]  # that with the fewest steps first
    assert [c.operator.split("+")[0] for c in children] == ["continue", "continue", "exploit"]


def test_a_failed_step_is_replaced_by_an_exploit() -> None:
    strategy = make_strategy("pbt", SPACE, population=4, generational=True)
    tell(strategy, strategy.ask(4), [0.0, 0.1, 0.2, 0.3])
    second = strategy.ask(4)
    strategy.tell(second[0], Outcome())
    tell(strategy, second[1:], [0.1, 0.2, 0.05])
    third = strategy.ask(4)
    assert third[0].operator.startswith("exploit")
    assert third[0].parents == (0,)  # what it had before is still the best
    assert third[1].operator == "continue"
    assert set(strategy.living) == {0, *(c.id for c in second[1:])}


def test_members_that_never_succeeded_begin_anew_until_there_is_somebody_to_copy() -> None:
    strategy = make_strategy("pbt", SPACE, population=3)
    for candidate in strategy.ask(3):
        strategy.tell(candidate, Outcome())
    anew = strategy.ask(3)
    assert {(c.operator, c.parents) for c in anew} == {("sample", ())}
    tell(strategy, anew[:1], [0.5])
    strategy.tell(anew[1], Outcome())
    following = strategy.ask(2)
    assert [c.parents for c in following] == [(3,), (3,)]
    assert [c.operator.split("+")[0] for c in following] == ["continue", "exploit"]


def test_only_the_newest_result_of_each_member_lives() -> None:
    strategy = make_strategy("pbt", SPACE, population=5, seed=1)
    for _ in range(200):
        (candidate,) = strategy.ask()
        assert len(strategy.living) <= 5
        strategy.tell(candidate, Outcome((candidate.architecture["lr"],)))
    assert len(set(strategy.living)) == 5
    assert min(strategy.living) >= 190


def test_what_misses_a_constraint_is_given_up_first() -> None:
    strategy = make_strategy("pbt", SPACE, population=4, generational=True)
    for candidate in strategy.ask(4):
        strategy.tell(candidate, Outcome((float(candidate.id),), violation=float(candidate.id < 1)))
    second = strategy.ask(4)
    assert second[0].operator.startswith("exploit")
    assert second[0].parents == (1,)


@pytest.mark.parametrize(
    "space",
    [
        SearchSpace(lr=Float(0.0, 1.0)),
        SearchSpace(op=Choice("conv", "pool"), width=Choice(8, 16)),
        SearchSpace(op=Choice("conv")),
        SearchSpace(rate=Float(0.0, 0.4, levels=5)),
    ],
)
def test_any_space_can_be_explored(space: SearchSpace) -> None:
    strategy = make_strategy("pbt", space, population=4, mutation=1.0)
    operators = set[str]()
    for _ in range(60):
        (candidate,) = strategy.ask()
        space.validate(candidate.architecture)
        operators.add(candidate.operator)
        strategy.tell(candidate, Outcome((candidate.id * 37 % 97 / 97,)))
    is_structural = any(isinstance(node, Choice) for node in space.root.children.values())
    mutates = is_structural and space.size > 1
    assert operators == {"sample", "continue", "exploit+mutate" if mutates else "exploit"}


def trained(strategy: Strategy, budget: int) -> tuple[float, list[float]]:
    """Train with weights that are passed on; return the least loss, and each learning rate.

    A step lowers the loss the more, the nearer the learning rate is to 0.01, and by half as much
    where the architecture is not the best.
    """
    skill, rates = dict[int | None, float](), list[float]()
    for _ in range(budget):
        (candidate,) = strategy.ask()
        net = candidate.architecture
        pace = math.exp(-2 * abs(math.log10(net["lr"]) + 2)) / (1 if net["op"] == "conv" else 2)
        skill[candidate.id] = skill.get(candidate.inherit_from, 0.0) + pace
        rates.append(net["lr"])
        strategy.tell(candidate, Outcome((math.exp(-skill[candidate.id]),)))
    return math.exp(-max(skill.values())), rates


@pytest.mark.parametrize("name", ["pbt", "lamarckian"])
@pytest.mark.parametrize("generational", [False, True])
def test_populations_learn_what_lets_them_learn(name: str, generational: bool) -> None:
    found, distances, alone = [], [], []
    for seed in range(6):
        kwargs: dict[str, Any] = {"seed": seed, "generational": generational}
        least, rates = trained(make_strategy(name, SPACE, **kwargs), 80)
        found.append(least)
        distances.append(np.median(np.abs(np.log10(rates[-20:]) + 2)))
        # The best of eight that are never changed, after as many steps as a member of eight has.
        alone.append(trained(make_strategy("random", SPACE, seed=seed), 8)[0] ** 10)
    assert np.median(found) < 0.3 * np.median(alone)
    assert np.median(distances) < 0.7  # of two decades; of random search about 1


def test_under_halving_steps_go_on_from_what_was_promoted() -> None:
    strategy = halving(SPACE, of={"name": "pbt", "population": 4}, epochs=4, eta=2)
    assert strategy.inherits
    promoted, heirs = dict[int, int](), list[Candidate]()
    for _ in range(40):
        (candidate,) = strategy.ask()
        if candidate.continues is not None:
            promoted[candidate.continues] = candidate.id
        elif candidate.parents:
            heirs.append(candidate)
            assert candidate.inherit_from == candidate.parents[0]
            assert candidate.inherit_from not in promoted
        strategy.tell(candidate, Outcome((candidate.architecture["lr"] / (candidate.epochs or 1),)))
    assert {heir.parents[0] for heir in heirs} & set(promoted.values())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"quantile": 0.0}, "strategy.quantile is 0.0; allowed: numbers above 0, up to 0.5"),
        ({"quantile": 0.6}, "strategy.quantile is 0.6"),
        ({"quantile": float("nan")}, "strategy.quantile is nan"),
        ({"quantile": True}, "strategy.quantile is True"),
        ({"quantile": "0.2"}, "strategy.quantile is '0.2'"),
        ({"population": 1}, "strategy.population is 1; allowed: integers from 2 up"),
        ({"candidates": 7}, "population is 8, but budget.candidates is 7.*to 8 or more.*10 steps"),
        ({"mutation": -0.1}, "strategy.mutation is -0.1; allowed: numbers from 0 to 1"),
        ({"generational": "no"}, "strategy.generational is 'no'; allowed: true, false"),
        ({"inherit": False}, "strategy.inherit is False, but `pbt` is about .* leave `inherit` ou"),
        ({"objectives": 2}, "`pbt` takes one objective but the study has 2; .*lamarckian"),
    ],
)
def test_wrong_configuration_names_the_key_and_the_cure(
    params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_strategy("pbt", SPACE, **params)
