from collections.abc import Callable

import numpy as np
import pytest

from phylon.search import (
    Architecture,
    Candidate,
    Choice,
    Float,
    Outcome,
    Repeat,
    SearchSpace,
    make_strategy,
)
from phylon.search.errors import ConfigurationError
from phylon.search.local_search import LocalSearch

BITS = SearchSpace(bits=Repeat(Choice(0, 1), 8, 8))


def ones(net: Architecture) -> float:
    return float(sum(net["bits"]))


def trap(net: Architecture) -> float:
    """Lead to all zeros as often as to all ones, which are better."""
    return min(ones(net), 7 - ones(net))


def distance(a: Architecture, b: Architecture) -> int:
    return sum(x != y for x, y in zip(a["bits"], b["bits"], strict=True))


def search(
    strategy: LocalSearch, loss: Callable[[Architecture], float], n: int
) -> list[tuple[Candidate, float]]:
    """Ask and tell `n` times, one after the other."""
    done = []
    for _ in range(n):
        (candidate,) = strategy.ask()
        done.append((candidate, loss(candidate.architecture)))
        strategy.tell(candidate, Outcome((done[-1][1],)))
    return done


def test_random_starts_then_the_neighbours_of_the_best_until_one_is_better() -> None:
    done = search(LocalSearch(BITS, seed=1, starts=5), ones, 30)
    assert [c.operator for c, _ in done[:6]] == ["sample"] * 5 + ["neighbour"]
    place, least = min(done[:5], key=lambda pair: pair[1])
    for candidate, loss in done[5:]:
        if candidate.operator == "sample":
            break
        assert candidate.parents == (place.id,)
        assert candidate.generation == place.generation + 1
        assert distance(candidate.architecture, place.architecture) == 1
        if loss < least:
            place, least = candidate, loss
    assert least == 0


def test_a_local_optimum_is_left_when_each_neighbour_is_known() -> None:
    strategy = LocalSearch(BITS, seed=0, starts=3)
    done = search(strategy, ones, 60)
    bottom = next(i for i, (_, loss) in enumerate(done) if loss == 0)
    again = next(i for i in range(bottom, 60) if done[i][0].operator == "sample")
    around = {c.architecture for c, _ in done[:again] if ones(c.architecture) == 1}
    assert len(around) == 8
    assert [c.operator for c, _ in done[again : again + 4]] == ["sample"] * 3 + ["neighbour"]
    start = min(done[again : again + 3], key=lambda pair: pair[1])
    assert done[again + 3][0].parents == (start[0].id,)


def test_it_gets_out_of_traps() -> None:
    for seed in range(5):
        done = search(LocalSearch(BITS, seed=seed, starts=2), trap, 100)
        assert min(loss for _, loss in done) == -1


def test_a_start_with_no_neighbour_left_is_given_up() -> None:
    strategy, in_a_row = LocalSearch(BITS, seed=2, starts=2), [0]
    for _ in range(220):
        (candidate,) = strategy.ask()
        strategy.tell(candidate, Outcome((float(candidate.id),)))  # each start is a local optimum
        in_a_row.append(in_a_row[-1] + 1 if candidate.operator == "sample" else 0)
    assert max(in_a_row) < 20


def test_neighbours_come_in_random_order() -> None:
    first = set()
    for seed in range(20):
        strategy = LocalSearch(BITS, seed=seed, starts=1)
        (start, _), (neighbour, _) = search(strategy, ones, 2)
        pairs = zip(start.architecture["bits"], neighbour.architecture["bits"], strict=True)
        first.add([x != y for x, y in pairs].index(True))
    assert len(first) > 4


def at_the_bottom(in_flight: int) -> tuple[LocalSearch, Candidate, list[Candidate]]:
    """Return a search at a local optimum of loss 0, with the last of its neighbours under way."""
    strategy = LocalSearch(BITS, seed=0, starts=2)
    place, other = strategy.ask(2)
    strategy.tell(place, Outcome((0.0,)))
    strategy.tell(other, Outcome((5.0,)))
    around = strategy.ask(8)
    for candidate in around[in_flight:]:
        strategy.tell(candidate, Outcome((1.0,)))
    return strategy, place, around[:in_flight]


def test_while_the_last_neighbours_are_under_way_the_next_round_begins() -> None:
    strategy, place, running = at_the_bottom(in_flight=3)
    assert {c.parents for c in running} == {(place.id,)}
    assert [c.operator for c in strategy.ask(2)] == ["sample", "sample"]


def test_a_late_neighbour_that_is_better_is_moved_to() -> None:
    strategy, _, running = at_the_bottom(in_flight=3)
    strategy.ask(2)
    strategy.tell(running[1], Outcome((-1.0,)))
    assert strategy.ask()[0].parents == (running[1].id,)


def test_a_late_neighbour_must_beat_the_place_it_came_from() -> None:
    strategy, _, running = at_the_bottom(in_flight=3)
    for start in strategy.ask(2):
        strategy.tell(start, Outcome((4.0 + start.id,)))
    (neighbour,) = strategy.ask()
    (start_id,) = neighbour.parents
    strategy.tell(running[0], Outcome((1.0,)))  # better than the new start, not than the old place
    assert strategy.ask()[0].parents == (start_id,)
    strategy.tell(running[1], Outcome((-1.0,)))
    assert strategy.ask()[0].parents == (running[1].id,)


def test_what_meets_the_constraints_is_better() -> None:
    strategy = LocalSearch(BITS, seed=0, starts=2)
    a, b = strategy.ask(2)
    strategy.tell(a, Outcome((0.0,), violation=1.0))
    strategy.tell(b, Outcome((9.0,)))
    assert strategy.ask()[0].parents == (b.id,)


def test_spaces_with_floats_have_local_optima_too() -> None:
    space = SearchSpace(x=Float(0.0, 1.0), act=Choice("relu", "gelu"))
    operators = [c.operator for c, _ in search(LocalSearch(space, starts=2), lambda _: 0.0, 20)]
    assert operators.count("sample") > 4
    assert operators.count("neighbour") > 8


def test_results_late_and_out_of_order_still_lead_to_the_optimum() -> None:
    rng = np.random.default_rng(0)
    strategy, running, least = LocalSearch(BITS, seed=3), list[Candidate](), 9.0
    while strategy.asked < 60:
        running += strategy.ask(8 - len(running))
        candidate = running.pop(int(rng.integers(len(running))))
        least = min(least, ones(candidate.architecture))
        strategy.tell(candidate, Outcome((ones(candidate.architecture),)))
    assert least == 0


def test_wrong_starts_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"strategy\.starts is 0; allowed: integers"):
        make_strategy("local_search", BITS, starts=0)
