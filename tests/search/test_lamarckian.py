"""Lamarckian evolution, generations, and children that inherit under any strategy."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from phylon.search import (
    Candidate,
    Choice,
    Outcome,
    Proposal,
    Repeat,
    SearchSpace,
    Strategy,
    make_strategy,
)
from phylon.search.errors import ConfigurationError, Waiting
from phylon.search.evolution import Member
from phylon.search.generations import Generations
from phylon.search.selection import rare
from phylon.search.survival import non_dominated

SPACE = SearchSpace(ops=Repeat(Choice("conv", "pool", "skip", "none"), 10, 10))
NET = SPACE.sample(np.random.default_rng(0))


def test_children_begin_with_the_weights_of_a_parent_that_lives() -> None:
    strategy = make_strategy("lamarckian", SPACE, population=4, sample=2)
    for number in range(100):
        (candidate,) = strategy.ask()
        assert candidate.inherit_from == (candidate.parents[0] if candidate.parents else None)
        assert (candidate.operator == "mutate") == (number >= 4)
        assert {*candidate.parents} <= {*strategy.living}
        strategy.tell(candidate, Outcome((abs(50.0 - candidate.id),)))
    assert sorted(strategy.living) == [48, 49, 50, 51]  # the fittest, however old


def test_networks_may_come_up_again_with_other_weights() -> None:
    space = SearchSpace(act=Choice("relu", "gelu"), kernel=Choice(3, 5))
    strategy = make_strategy("lamarckian", space, population=3, sample=2)
    for _ in range(20):
        (candidate,) = strategy.ask()
        strategy.tell(candidate, Outcome((-float(candidate.id),)))


def test_a_generation_comes_from_the_survivors_of_the_last_alone() -> None:
    strategy = make_strategy("lamarckian", SPACE, population=6, sample=2, generational=True)
    born: dict[int, set[int]] = {}
    for generation in range(5):
        children = strategy.ask(50)
        assert [c.id for c in children] == list(range(6 * generation, 6 * generation + 6))
        with pytest.raises(Waiting):
            strategy.ask()
        alive = set(strategy.living)
        assert all({*c.parents} <= alive for c in children)
        assert all(c.parents for c in children) == bool(generation)
        for child in children[:-1]:
            strategy.tell(child, Outcome((1.0 / (1 + child.id),)))
            assert {child.id, *alive} <= {*strategy.living}
            assert strategy.waits
        strategy.tell(children[-1], Outcome((1.0 / (1 + children[-1].id),)))
        born[generation] = set(strategy.living)
        assert born[generation] == {c.id for c in children}  # for all of them are better


def test_the_order_of_results_within_a_generation_is_no_matter() -> None:
    class Listening(Strategy):
        told: list[tuple[int, bool]] = []  # noqa: RUF012 - of the only one there is

        def _propose(self, rng: np.random.Generator) -> Proposal:
            return Proposal(self.space.sample(rng))

        def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
            self.told.append((candidate.id, outcome.failed))

    strategy = Generations(Listening(SPACE), 4)
    first = strategy.ask(4)
    for child in first[::-1]:
        assert Listening.told == []
        strategy.tell(child, Outcome() if child.id == 1 else Outcome((0.5,)))
    assert Listening.told == [(0, False), (1, True), (2, False), (3, False)]
    strategy.revise(first[0], Outcome((0.1,)))  # as under halving
    (fresh,) = strategy.ask()
    strategy.tell(fresh, Outcome((0.3,)))
    strategy.revise(fresh, Outcome((0.2,)))
    assert Listening.told[4:] == [(0, False)]
    assert set(strategy.living) == {0, 2, 3, 4}


def test_parents_are_drawn_where_the_front_is_thin_in_what_is_cheap() -> None:
    cheap = (1.0, 1.1, 0.9, 1.05, 0.95, 7.0)
    front = [Member(i, NET, 0, (float(i), size, 3.0)) for i, size in enumerate(cheap)]
    rng = np.random.default_rng(0)
    drawn = Counter(rare(front, rng).id for _ in range(1000))
    assert drawn[5] > 2 * max(drawn[i] for i in range(5))
    assert min(drawn[i] for i in range(5)) > 50
    assert rare(front[:1], rng).id == 0


def test_only_what_nothing_dominates_survives_and_the_less_crowded_of_it() -> None:
    pairs = [(0.0, 9.0), (9.0, 0.0), (5.0, 5.0), (5.1, 4.9), (5.2, 4.8), (6.0, 6.0)]
    members = [Member(i, NET, 0, pair) for i, pair in enumerate(pairs)]
    missing = Member(6, NET, 0, (0.0, 0.0), violation=0.1)
    assert {m.id for m in non_dominated(9)([*members, missing])} == {0, 1, 2, 3, 4}
    assert {m.id for m in non_dominated(2)([*members, missing])} == {0, 1}
    assert [m.id for m in non_dominated(2)([missing])] == [6]


def test_with_several_objectives_the_front_is_covered() -> None:
    strategy = make_strategy("lamarckian", SPACE, objectives=2, seed=3, population=12, sample=6)
    seen = set[tuple[float, ...]]()
    for _ in range(300):
        (candidate,) = strategy.ask()
        wrong = [10.0 - candidate.architecture["ops"].count(op) for op in ("conv", "pool")]
        seen.add((*wrong,))
        strategy.tell(candidate, Outcome((*wrong,)))
    front = {(10.0 - i, float(i)) for i in range(11)}
    assert len(front & seen) >= 10


@pytest.mark.parametrize("name", ["regularized_evolution", "hill_climb", "local_search"])
def test_children_inherit_under_any_strategy_that_is_told_so(name: str) -> None:
    for inherit in (True, False, None):
        strategy = make_strategy(name, SPACE, inherit=inherit)
        heirs = []
        for _ in range(30):
            (candidate,) = strategy.ask()
            strategy.tell(candidate, Outcome((float(candidate.id % 5),)))
            heirs += [candidate] if candidate.parents else []
        assert heirs
        assert all(h.inherit_from == (h.parents[0] if inherit else None) for h in heirs)


def test_a_promotion_began_as_what_it_goes_on_with() -> None:
    of = {"name": "regularized_evolution", "population": 4, "sample": 2, "inherit": True}
    strategy = make_strategy("halving", SPACE, of=of, epochs=4, eta=2)
    asked = []
    for _ in range(40):
        (candidate,) = strategy.ask()
        asked.append(candidate)
        strategy.tell(candidate, Outcome((-float(candidate.id),)))
    promoted = [each for each in asked if each.continues is not None]
    assert any(each.inherit_from is not None for each in promoted)
    assert all(each.inherit_from == asked[each.continues].inherit_from for each in promoted)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("random", {"inherit": "yes"}, "strategy.inherit is 'yes'; allowed: true, false"),
        ("random", {"inherits": True}, "strategy.inherits: .*did you mean `inherit`"),
        ("lamarckian", {"inherit": False}, "`lamarckian` is about children that begin"),
        ("halving", {"of": "pbt", "epochs": 9, "inherit": False}, "`halving` is about"),
        (
            "halving",
            {"of": {"name": "pbt", "inherit": False}, "epochs": 9},
            "strategy.of.inherit is False, but `pbt`",
        ),
        ("lamarckian", {"population": 4, "sample": 5}, "sample is 5; allowed: integers from 1 to"),
        ("lamarckian", {"population": 1}, "strategy.population is 1"),
        ("lamarckian", {"generational": 1}, "strategy.generational is 1; allowed: true, false"),
    ],
)
def test_wrong_configuration_names_the_key_and_the_cure(
    name: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_strategy(name, SPACE, **params)
