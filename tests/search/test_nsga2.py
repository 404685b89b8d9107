import numpy as np
import pytest
from numpy.typing import NDArray

from phylon.search import Architecture, Choice, Outcome, Repeat, SearchSpace, make_strategy
from phylon.search.errors import ConfigurationError
from phylon.search.evolution import Evolution, Member
from phylon.search.pareto import hypervolume
from phylon.search.selection import first_placed
from phylon.search.survival import least_crowded

SPACE = SearchSpace(ops=Repeat(Choice("conv", "pool", "skip", "none"), 10, 10))
NET = SPACE.sample(np.random.default_rng(0))


def losses(net: Architecture) -> tuple[float, float]:
    """Return how many operations are no convolution, and how many no pooling.

    The true front are the 11 mixtures of convolutions and poolings, of volume 66 within (11, 11).
    """
    return float(sum(op != "conv" for op in net["ops"])), float(
        sum(op != "pool" for op in net["ops"])
    )


def violation(net: Architecture) -> float:
    """Allow six convolutions at most."""
    return float(max(0, sum(op == "conv" for op in net["ops"]) - 6))


def found(name: str, seed: int, budget: int, *, constrained: bool = False) -> NDArray[np.float64]:
    """Return the losses of what a search found that meets the constraint."""
    strategy = make_strategy(name, SPACE, objectives=2, seed=seed)
    rows = []
    for candidate in strategy.ask(4):
        strategy.tell(candidate, Outcome(losses(candidate.architecture)))
    while strategy.asked < budget:
        (candidate,) = strategy.ask()
        missed = violation(candidate.architecture) if constrained else 0.0
        strategy.tell(candidate, Outcome(losses(candidate.architecture), missed))
        if not missed:
            rows.append(losses(candidate.architecture))
    return np.array(rows)


def ids(members: list[Member], n: int) -> list[int]:
    rng = np.random.default_rng(n)
    orders = [[members[i] for i in rng.permutation(len(members))] for _ in range(5)]
    kept = [[member.id for member in least_crowded(n)(order)] for order in orders]
    assert all(each == kept[0] for each in kept), "the order of the members counts"
    return kept[0]


def test_the_true_front_has_its_volume() -> None:
    front = np.array([(10.0 - i, float(i)) for i in range(11)])
    assert hypervolume(front, [11.0, 11.0]) == 66.0


def test_it_covers_more_of_the_front_than_random_search() -> None:
    random, evolved = (
        np.mean([hypervolume(found(name, seed, 300), [11.0, 11.0]) / 66 for seed in range(3)])
        for name in ("random", "nsga2")
    )
    assert evolved > 0.95
    assert random < 0.8


def test_it_covers_the_front_within_the_constraint() -> None:
    rows = found("nsga2", 0, 400, constrained=True)
    assert rows[:, 0].min() == 4.0
    assert hypervolume(rows, [11.0, 11.0]) > 0.9 * (66 - (1 + 2 + 3 + 4))


def test_with_one_objective_it_finds_the_best() -> None:
    strategy = make_strategy("nsga2", SPACE, seed=0)
    least = 10.0
    for _ in range(300):
        (candidate,) = strategy.ask()
        least = min(least, losses(candidate.architecture)[0])
        strategy.tell(candidate, Outcome(losses(candidate.architecture)[:1]))
    assert least == 0


def test_what_is_feasible_outlives_what_is_better_but_not() -> None:
    members = [
        Member(0, NET, 0, (0.0, 0.0), violation=0.1),
        Member(1, NET, 0, (0.0, 0.0), violation=0.2),
        Member(2, NET, 0, (9.0, 9.0)),
        Member(3, NET, 0, (8.0, 9.0)),
    ]
    assert ids(members, 4) == [3, 2, 0, 1]
    assert ids(members, 1) == [3]


def test_the_lower_rank_then_the_lonelier_live_on_and_twins_do_not() -> None:
    front = [(0.0, 10.0), (1.0, 8.0), (1.5, 7.5), (2.0, 7.0), (10.0, 0.0)]
    pairs = [(5.0, 9.0), *front, (2.0, 7.0), (0.5, 10.0)]
    members = [Member(i, NET, 0, pair) for i, pair in enumerate(pairs)]
    assert ids(members, 8) == [1, 5, 4, 2, 3, 6, 0, 7]
    assert ids(members, 3) == [1, 5, 4]


def test_parents_are_the_first_of_two_drawn_places() -> None:
    members = [Member(i, NET, 0, (0.0,)) for i in range(4)]
    rng = np.random.default_rng(0)
    picked = [first_placed(2)(members, rng).id for _ in range(1600)]
    shares = np.bincount(picked) / 1600
    assert shares == pytest.approx([7 / 16, 5 / 16, 3 / 16, 1 / 16], abs=0.04)


def test_the_population_keeps_its_size_and_children_cross_mutate_or_both() -> None:
    strategy = make_strategy("nsga2", SPACE, objectives=2, seed=0, population=8, crossover=0.5)
    assert isinstance(strategy, Evolution)
    seen = dict[str, int]()
    for _ in range(100):
        (candidate,) = strategy.ask()
        seen[candidate.operator] = len(candidate.parents)
        strategy.tell(candidate, Outcome(losses(candidate.architecture)))
    assert len(strategy.population) == 8
    assert seen == {"sample": 0, "mutate": 1, "crossover": 2, "crossover+mutate": 2}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"population": 1}, "strategy.population is 1; allowed: integers from 2 up"),
        ({"crossover": 1.5}, "strategy.crossover is 1.5; allowed: numbers from 0 to 1"),
        ({"repeats": 1}, "strategy.repeats is 1; allowed: true, false"),
    ],
)
def test_wrong_parameters_are_refused(params: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_strategy("nsga2", SPACE, objectives=2, **params)
