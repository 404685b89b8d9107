"""Successive halving: who is promoted, what the inner strategy sees, and that it pays."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from phylon.search import (
    Architecture,
    Candidate,
    Choice,
    Float,
    Outcome,
    SearchSpace,
    Strategy,
    make_strategy,
)
from phylon.search.errors import ConfigurationError, SpaceExhausted, StudyError
from phylon.search.evolution import Evolution
from phylon.search.halving import Halving, halving
from phylon.search.proposal import Known

SPACE = SearchSpace(x=Float(0.0, 1.0))


def result(candidate: Candidate) -> float:
    """Return a loss that falls with the epochs; the best network shows early, but not fully."""
    early = 10 * candidate.architecture["x"] % 1
    return candidate.architecture["x"] + early / (candidate.epochs or 9)


def run(strategy: Strategy, epochs: int) -> tuple[float, list[Candidate]]:
    """Spend so many epochs, and return the least loss of a network trained to the end."""
    asked: list[Candidate] = []
    best, before = 1.0, dict[int | None, int]()
    while epochs > 0:
        (candidate,) = strategy.ask()
        asked.append(candidate)
        before[candidate.id] = candidate.epochs or 9
        epochs -= before[candidate.id] - before.get(candidate.continues, 0)
        strategy.tell(candidate, Outcome((result(candidate),)))
        if candidate.epochs in (None, 9):
            best = min(best, result(candidate))
    return best, asked


def test_the_best_third_of_each_rung_goes_on_to_three_times_the_epochs() -> None:
    _, asked = run(halving(SPACE, of="random", epochs=27), 900)
    trained = Counter(candidate.epochs for candidate in asked)
    assert sorted(trained) == [1, 3, 9, 27]
    for epochs in (1, 3, 9):
        assert trained[epochs * 3] == pytest.approx(trained[epochs] / 3, rel=0.35)
        finished = sorted((c for c in asked if c.epochs == epochs), key=result)
        on = {c.continues for c in asked}
        assert all(c.id in on for c in finished[: len(finished) // 3 - 1])
        assert not any(c.id in on for c in finished[2 * len(finished) // 3 :])


def test_a_promotion_is_a_candidate_that_goes_on_with_another() -> None:
    strategy = halving(SPACE, of="random", epochs=10, eta=2, min_epochs=3, seed=4)
    first, second = strategy.ask(2)
    for candidate, loss in ((first, 0.2), (second, 0.1)):
        strategy.tell(candidate, Outcome((loss,)))
    (promoted,) = strategy.ask()
    assert (first.epochs, promoted.epochs) == (3, 6)
    assert promoted.architecture == second.architecture
    assert (promoted.seed, promoted.continues) == (second.seed, second.id)
    assert (promoted.operator, promoted.parents) == ("promote", (second.id,))
    assert strategy.ask()[0].continues is None  # it is promoted once


def test_the_highest_rung_comes_first_and_the_last_one_is_the_end() -> None:
    strategy = halving(SPACE, of="random", epochs=4, eta=2)
    on_first = strategy.ask(4)
    for candidate in on_first:
        strategy.tell(candidate, Outcome((candidate.id / 10,)))
    on_second = strategy.ask(2)
    assert [c.continues for c in on_second] == [0, 1]
    more = strategy.ask(4)
    for candidate in (*on_second, *more):
        strategy.tell(candidate, Outcome((candidate.id / 100,)))
    (top,) = strategy.ask()
    assert (top.epochs, top.continues) == (4, on_second[0].id)
    strategy.tell(top, Outcome((0.0,)))
    assert all(candidate.epochs < 4 for candidate in strategy.ask(20))


def test_failures_are_not_promoted_and_do_not_hold_up_others() -> None:
    strategy = halving(SPACE, of="regularized_evolution", epochs=9, eta=2)
    one, two, lost = strategy.ask(3)
    strategy.tell(one, Outcome())
    strategy.tell(two, Outcome((0.5,)))
    for candidate in strategy.ask(5):
        strategy.tell(candidate, Outcome((1.0,)))
    (promoted,) = (c for c in strategy.ask(3) if c.continues == two.id)
    strategy.tell(promoted, Outcome())
    assert not {one.id, lost.id, promoted.id} & {c.continues for c in strategy.ask(20)}


def test_it_beats_the_inner_strategy_at_the_same_number_of_epochs() -> None:
    halved = [run(halving(SPACE, of="random", epochs=9, seed=s), 270)[0] for s in range(10)]
    plain = [run(make_strategy("random", SPACE, seed=s), 270)[0] for s in range(10)]
    assert sum(halved) < 0.6 * sum(plain)


def test_the_inner_strategy_sees_each_network_once_with_its_newest_result() -> None:
    inner = make_strategy("regularized_evolution", SPACE, population=4, sample=4)
    strategy = Halving(SPACE, inner, rungs=[1, 2, 4], eta=2)
    for candidate in strategy.ask(4):
        strategy.tell(candidate, Outcome((1.0 + candidate.id,)))
    promoted = strategy.ask(2)
    strategy.tell(promoted[1], Outcome((0.1,)))
    assert isinstance(inner, Evolution)
    assert [member.losses for member in inner.population] == [(1.0,), (0.1,), (3.0,), (4.0,)]
    (child,) = strategy.ask()
    assert child.parents == (promoted[1].id,)
    assert child.generation == promoted[1].generation + 1


def test_promotions_go_on_when_the_space_is_exhausted() -> None:
    strategy = halving(SearchSpace(a=Choice(1, 2, 3, 4)), of="random", epochs=4, eta=2)
    asked, promoted = strategy.ask(9), list[Candidate]()
    assert len(asked) == 4
    open_ = list(asked)
    while open_:
        candidate = open_.pop(0)
        strategy.tell(candidate, Outcome((float(candidate.id),)))
        try:
            promoted += strategy.ask(9)
        except SpaceExhausted:
            continue
        open_.append(promoted[-1])
    assert [(c.epochs, c.architecture["a"]) for c in promoted] == [
        (2, asked[0].architecture["a"]),
        (2, asked[1].architecture["a"]),
        (4, asked[0].architecture["a"]),
    ]


def test_with_several_objectives_the_front_is_promoted_and_what_is_feasible_first() -> None:
    strategy = halving(SPACE, of="random", epochs=9, objectives=2, eta=3)
    results = [(0.0, 9.0), (5.0, 5.0), (6.0, 6.0), (7.0, 7.0), (9.0, 0.0), (-1.0, -1.0)]
    for candidate, losses in zip(strategy.ask(6), results, strict=True):
        strategy.tell(candidate, Outcome(losses, violation=float(losses == (-1.0, -1.0))))
    assert {candidate.continues for candidate in strategy.ask(2)} == {0, 4}
    assert strategy.ask()[0].continues is None


def test_all_that_it_is_primed_with_is_proposed_however_many_are_promoted_between() -> None:
    start = [Architecture({"x": x / 10}) for x in range(8)]
    strategy = halving(SPACE, of="random", epochs=9, eta=2)
    strategy.prime(start, [Known(start[0], (0.0,))])
    primed = []
    for _ in range(20):
        (candidate,) = strategy.ask()
        strategy.tell(candidate, Outcome((1.0,)))
        primed += [candidate.architecture] if candidate.operator == "prime" else []
    assert primed == start


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"epochs": None}, "`halving` decides how many epochs"),
        ({"epochs": 1}, "training.epochs is 1; the strategy `halving` needs 2 or more"),
        ({"min_epochs": 9}, "strategy.min_epochs is 9; allowed: integers from 1 to 8"),
        ({"eta": 1}, "strategy.eta is 1"),
        ({"of": "rndom"}, "strategy.of.name: unknown strategy `rndom`; did you mean `random`"),
        ({"of": {"population": 3}}, r"strategy.of is \{'population': 3\}; allowed: the name"),
        (
            {"of": {"name": "regularized_evolution", "population": 0}},
            "strategy.of.population is 0",
        ),
        ({"of": {"name": "random", "epochs": 3}}, "strategy.of.epochs: .*set `training.epochs`"),
        ({"of": "halving"}, "or another `halving` decides"),
        ({"of": "regularized_evolution", "objectives": 2}, "takes one objective but the study"),
        ({"etta": 3}, "strategy.etta: `halving` has no such parameter; did you mean `eta`"),
    ],
)
def test_wrong_configuration_names_the_key_and_the_cure(
    params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_strategy("halving", SPACE, **{"of": "random", "epochs": 9, **params})


def test_a_result_cannot_be_revised_before_it_was_told() -> None:
    strategy = make_strategy("regularized_evolution", SPACE, population=2, sample=1)
    first, second, third = strategy.ask(3)
    with pytest.raises(StudyError, match="candidate 1 was not told before"):
        strategy.revise(second, Outcome((0.5,)))
    for candidate in (first, second, third):
        strategy.tell(candidate, Outcome((0.5,)))
    for candidate in (first, second):  # the first is dead, and stays so
        strategy.revise(candidate, Outcome((0.1,)))
    assert isinstance(strategy, Evolution)
    assert [(m.id, m.losses) for m in strategy.population] == [(1, (0.1,)), (2, (0.5,))]
