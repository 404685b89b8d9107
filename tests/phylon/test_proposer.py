"""The numbers of a study and those of its strategy."""

from __future__ import annotations

from dataclasses import replace

from phylon.proposer import Proposer
from phylon.search import Architecture, Candidate, Choice, Outcome, SearchSpace, make_strategy

SPACE = SearchSpace(x=Choice(*range(100)))


def of_evolution(*, inherit: bool = True) -> Proposer:
    params = {"name": "regularized_evolution", "population": 2, "sample": 2, "inherit": inherit}
    return Proposer(lambda: make_strategy(space=SPACE, **params))


def test_parents_and_whose_weights_are_inherited_have_the_numbers_of_the_study() -> None:
    proposer = of_evolution()
    first, second = proposer.ask(7), proposer.ask(9)
    proposer.tell(second, Outcome((0.1,)))
    assert proposer.living == {9}
    child = proposer.ask(12)
    assert (child.id, child.parents, child.inherit_from) == (12, (9,), 9)
    proposer.tell(first, Outcome((0.2,)))
    proposer.tell(child, Outcome((0.3,)))
    assert proposer.living == {9, 12}


def test_what_was_recalled_goes_on_as_if_nothing_had_happened() -> None:
    proposer, resumed = of_evolution(), of_evolution()
    for number in (3, 4, 6, 8, 9):
        candidate = proposer.ask(number)
        resumed.recall(candidate)
        for each in (proposer, resumed):
            each.tell(candidate, Outcome((number / 10,)))
    assert resumed.living == proposer.living == {8, 9}
    assert resumed.ask(11) == proposer.ask(11)


def test_weights_of_what_the_strategy_never_asked_for_are_none_of_its_business() -> None:
    proposer = of_evolution(inherit=False)
    scored = Candidate(5, Architecture({"x": 1}), epochs=0, inherit_from=0)
    proposer.recall(scored)
    proposer.tell(scored, Outcome((0.1,)))
    own = proposer.ask(6)
    adapted = replace(own, epochs=0, inherit_from=0)
    proposer.tell(adapted, Outcome((0.1,)))
    assert own.inherit_from is None


def test_nobody_lives_for_a_strategy_that_passes_no_weights_on() -> None:
    proposer = of_evolution(inherit=False)
    proposer.tell(proposer.ask(0), Outcome((0.1,)))
    assert not proposer.inherits
    assert proposer.living == set()
    assert of_evolution().inherits


def test_a_new_beginning_lets_go_of_all_that_lived() -> None:
    proposer = of_evolution()
    old = proposer.ask(0)
    proposer.tell(old, Outcome((0.1,)))
    proposer.begin()
    assert proposer.living == set()
    proposer.tell(old, Outcome((0.1,)))
    assert proposer.ask(1).inherit_from is None
