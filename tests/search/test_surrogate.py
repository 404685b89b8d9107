import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from phylon.search import (
    Architecture,
    Candidate,
    Cell,
    Choice,
    Float,
    Integer,
    Outcome,
    SearchSpace,
    make_strategy,
)
from phylon.search.acquisition import best_of
from phylon.search.errors import ConfigurationError
from phylon.search.observations import Observations
from phylon.search.pareto import hypervolume
from phylon.search.proposal import Known
from phylon.search.strategy import Strategy

CELL = Cell(4, ("none", "skip_connect", "conv", "pool"))
NETS = SearchSpace(cell=CELL, depth=Integer(1, 6), act=Choice("relu", "gelu", "tanh"))
FLAT = SearchSpace(
    lr=Float(1e-5, 1.0, log=True),
    width=Integer(8, 256, log=True),
    **{f"c{i}": Choice(0, 1, 2) for i in range(6)},
)


def loss(net: Architecture) -> float:
    """Return 0 for three convolutions, a pool, depth 4, and gelu."""
    operations = [operation for _, operation in CELL.live(net.nested["cell"])]
    wrong = abs(operations.count("conv") - 3) + 0.5 * abs(operations.count("pool") - 1)
    return wrong + 0.2 * abs(net["depth"] - 4) + 0.3 * (net["act"] != "gelu")


def flat_loss(net: Architecture) -> float:
    wrong: int = sum(net[f"c{i}"] != 2 for i in range(6))
    return abs(math.log10(net["lr"]) + 2) + abs(math.log2(net["width"] / 64)) / 2 + wrong / 2


def search(
    name: str,
    seed: int,
    budget: int,
    space: SearchSpace = NETS,
    evaluate: Callable[[Architecture], float] = loss,
    known: Sequence[Known] = (),
    **params: Any,
) -> list[float]:
    """Search with four candidates under way at a time, and return all losses."""
    strategy = make_strategy(name, space, seed=seed, **params)
    strategy.prime((), known)
    running, losses = strategy.ask(4), list[float]()
    while running:
        candidate = running.pop(0)
        losses.append(evaluate(candidate.architecture))
        strategy.tell(candidate, Outcome((losses[-1],)))
        if strategy.asked < budget:
            running += strategy.ask()
    return losses


def tell(strategy: Strategy, candidates: Sequence[Candidate]) -> None:
    for candidate in candidates:
        strategy.tell(candidate, Outcome((loss(candidate.architecture),)))


def test_finds_the_best_cell_with_a_third_of_the_evaluations_of_evolution() -> None:
    guided = [min(search("surrogate", seed, 50)) for seed in range(3)]
    evolved = [min(search("regularized_evolution", seed, 150)) for seed in range(3)]
    assert np.mean(guided) < 0.15
    assert np.mean(guided) <= np.mean(evolved)


def test_beats_evolution_where_there_are_no_cells() -> None:
    guided, evolved = (
        [min(search(name, seed, 60, FLAT, flat_loss)) for seed in range(4)]
        for name in ("surrogate", "regularized_evolution")
    )
    assert np.mean(guided) < 0.7 * np.mean(evolved)


def test_after_the_initial_design_candidates_are_near_the_best() -> None:
    strategy = make_strategy("surrogate", NETS, seed=1, floor=0.0)
    first = strategy.ask(10)
    assert {each.operator for each in first} == {"sample"}
    tell(strategy, first)
    best = sorted(first, key=lambda each: loss(each.architecture))[:5]
    later = []
    for _ in range(10):
        later += strategy.ask()
        if later[-1].parents:
            assert later[-1].operator in ("mutate", "mutate_twice")
    near = [each for each in later if each.parents]
    assert len(near) >= 5
    assert {parent for each in near for parent in each.parents} <= {each.id for each in best}


def test_candidates_under_way_are_not_proposed_again_nor_their_like() -> None:
    strategy = make_strategy("surrogate", NETS, seed=2, floor=0.0)
    tell(strategy, strategy.ask(30))
    pending = strategy.ask(30)
    keys = [NETS.key(each.architecture) for each in pending]
    assert len(set(keys)) == 30
    losses = [loss(each.architecture) for each in pending]
    random = [loss(NETS.sample(np.random.default_rng(i))) for i in range(200)]
    assert np.mean(losses) < np.mean(random) - np.std(random) / 2  # all are still a good choice


def test_evolution_proposes_while_nothing_can_be_foreseen() -> None:
    """Losses that are chance give no rank correlation; then no model is asked."""
    strategy = make_strategy("surrogate", NETS, seed=3, floor=0.0)
    rng = np.random.default_rng(0)
    operators = []
    for _ in range(60):
        (candidate,) = strategy.ask()
        operators.append(candidate.operator)
        strategy.tell(candidate, Outcome((float(rng.normal()),)))
    # Evolution makes one change at a time; a model also takes networks two changes away.
    assert operators[10:].count("mutate") > 40


def test_the_floor_is_the_share_of_random_candidates() -> None:
    strategy = make_strategy("surrogate", NETS, seed=4, floor=1.0)
    tell(strategy, strategy.ask(20))
    assert {each.operator for each in strategy.ask(20)} == {"sample"}


def test_infeasible_regions_are_left() -> None:
    """Depth beyond 2 misses the constraint, though the loss is least at 4."""
    strategy = make_strategy("surrogate", NETS, seed=5)
    depths = []
    for _ in range(60):
        (candidate,) = strategy.ask()
        depths.append(candidate.architecture["depth"])
        violation = float(max(depths[-1] - 2, 0))
        strategy.tell(candidate, Outcome((loss(candidate.architecture),), violation))
    assert np.mean(np.array(depths[30:]) <= 2) > 0.75
    assert np.mean(np.array(depths[:10]) <= 2) < 0.75


def test_what_makes_networks_fail_is_avoided() -> None:
    strategy = make_strategy("surrogate", NETS, seed=6)
    failed = []
    for _ in range(60):
        (candidate,) = strategy.ask()
        failed.append(candidate.architecture["act"] == "gelu")
        value = None if failed[-1] else (loss(candidate.architecture),)
        strategy.tell(candidate, Outcome(value))
    assert np.mean(failed[30:]) < 0.2


def test_earlier_results_speed_up_the_start() -> None:
    rng = np.random.default_rng(0)
    nets = [NETS.sample(rng) for _ in range(60)]
    losses = np.array([loss(net) for net in nets])
    scores = (losses - losses.mean()) / losses.std()
    known = [Known(net, (float(s),)) for net, s in zip(nets, scores, strict=True)]
    cold, warm = (
        np.mean([np.mean(search("surrogate", seed, 20, known=each)[5:]) for seed in range(3)])
        for each in ((), known)
    )
    assert warm < 0.8 * cold


def test_own_results_overrule_earlier_ones() -> None:
    """What is known is the exact contrary of what is found."""
    rng = np.random.default_rng(0)
    nets = [NETS.sample(rng) for _ in range(60)]
    losses = np.array([loss(net) for net in nets])
    scores = (losses.mean() - losses) / losses.std()
    known = [Known(net, (float(s),)) for net, s in zip(nets, scores, strict=True)]
    found = [min(search("surrogate", seed, 50, known=known)) for seed in range(2)]
    assert np.mean(found) < 0.3


def test_two_objectives_are_covered_better_than_by_chance() -> None:
    def losses(net: Architecture) -> tuple[float, float]:
        live = CELL.live(net.nested["cell"])
        cost = sum({"conv": 1.0, "pool": 0.4}.get(op, 0.05) for _, op in live) + net["depth"] / 4
        return loss(net), cost

    def covered(name: str, seed: int) -> float:
        strategy = make_strategy(name, NETS, objectives=2, seed=seed)
        found = []
        for _ in range(60):
            (candidate,) = strategy.ask()
            found.append(losses(candidate.architecture))
            strategy.tell(candidate, Outcome(found[-1]))
        return hypervolume(found, (4.0, 6.0))

    for seed in range(3):
        assert covered("surrogate", seed) > covered("random", seed)


def test_more_results_than_a_gaussian_process_can_take() -> None:
    """From 500 results on a forest guides; it is still far better than chance."""
    strategy = make_strategy("surrogate", FLAT, seed=2**40, floor=0.0, initial=520)
    first = strategy.ask(520)
    for candidate in first:
        strategy.tell(candidate, Outcome((flat_loss(candidate.architecture),)))
    later = [flat_loss(each.architecture) for each in strategy.ask(10)]
    before = np.array([flat_loss(each.architecture) for each in first])
    assert np.mean(later) < np.quantile(before, 0.1)


def test_ten_thousand_results_are_no_trouble() -> None:
    results = Observations(SearchSpace(a=Choice(0, 1)), 1)
    for i in range(11_000):
        results.observe(Candidate(i, Architecture({"a": i % 2})), Outcome((float(i),)))
    table = results.table(11_000, 0)
    assert not table.noise.any()
    assert (np.diff(table.y[:, 0]) > 0).all()


def test_of_one_objective_the_least_sample_is_best() -> None:
    assert best_of(np.array([[3.0], [1.0], [2.0]]), np.zeros((0, 1))) == 1


def test_of_two_objectives_the_one_that_adds_most_to_the_front_is_best() -> None:
    front = np.array([[0.0, 2.0], [2.0, 0.0]])
    samples = np.array([[2.5, 2.5], [1.9, 0.1], [0.5, 0.5], [1.0, 1.0]])
    assert best_of(samples, front) == 2
    assert best_of(np.array([[9.0, 9.0], [3.0, 1.0], [2.0, 4.0]]), front) == 1  # none adds any


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"initial": 0}, "strategy.initial is 0"),
        ({"initial": 2.5}, "strategy.initial is 2.5"),
        ({"floor": 1.5}, "strategy.floor is 1.5"),
        ({"floor": "some"}, "strategy.floor is 'some'"),
    ],
)
def test_wrong_parameters_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_strategy("surrogate", NETS, **params)
