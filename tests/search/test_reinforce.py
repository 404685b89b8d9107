import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phylon.search import (
    Architecture,
    Candidate,
    Cell,
    Choice,
    Float,
    Integer,
    Outcome,
    Repeat,
    SearchSpace,
    make_strategy,
)
from phylon.search.controller import Controller
from phylon.search.decisions import Decision, decide, decisions, questions
from phylon.search.errors import ConfigurationError
from phylon.search.proposal import Known
from phylon.search.testing_runs import EVERY_NODE

SPACE = SearchSpace(
    {
        **EVERY_NODE.root.children,
        "cell": Cell(3, ("none", "conv", "pool")),
        "fixed": Choice(1),
        "seed": Integer(5, 5),
    }
)
OPS = SearchSpace(ops=Repeat(Choice("a", "b", "c", "d"), 8, 8), lr=Float(1e-4, 1.0, log=True))


def loss(candidate: Candidate) -> float:
    """Return what is least, 0, for eight times ``b`` and a rate of 0.01."""
    net = candidate.architecture
    wrong: int = sum(op != "b" for op in net["ops"])
    return wrong + abs(math.log10(net["lr"]) + 2) / 2


def least(name: str, seed: int, n: int, scale: float = 1.0) -> float:
    """Search with four candidates under way at a time, and return the least loss."""
    strategy = make_strategy(name, OPS, seed=seed)
    running, losses = strategy.ask(4), list[float]()
    while running:
        candidate = running.pop(0)
        losses.append(loss(candidate))
        strategy.tell(candidate, Outcome((scale * losses[-1],)))
        if strategy.asked < n:
            running += strategy.ask()
    return min(losses)


@given(st.integers(0, 2**32 - 1))
def test_decisions_say_what_was_decided(seed: int) -> None:
    rng = np.random.default_rng(seed)
    asked = questions(SPACE)
    taken: list[Decision] = []

    def take(place: str, options: int) -> int:
        assert asked[place] == options > 1
        taken.append(Decision(place, options, int(rng.integers(options))))
        return taken[-1].taken

    net = decide(SPACE, take, rng)
    SPACE.validate(net)
    units = [each for each in taken if each.place == "units"]  # bins that may hold no integer
    assert [d for d in decisions(SPACE, net) if d.place != "units"] == [
        d for d in taken if d not in units
    ]


def test_numbers_are_drawn_anywhere_in_their_bins() -> None:
    rng = np.random.default_rng(0)
    space = SearchSpace(x=Float(0, 1), n=Integer(1, 40), log=Integer(1, 30, log=True))
    nets = [decide(space, lambda _, options: int(rng.integers(options)), rng) for _ in range(3000)]
    assert {net["n"] for net in nets} == set(range(1, 41))
    assert {net["log"] for net in nets} == set(range(1, 31))
    assert len({net["x"] for net in nets}) == 3000
    third = [decide(space, lambda *_: 2, rng)["x"] for _ in range(100)]
    assert 0.25 <= min(third) < max(third) <= 0.375


def test_a_controller_learns_what_is_rewarded_and_gets_surer_of_it() -> None:
    controller = Controller(questions(OPS), 0, rate=0.01, entropy=0.01)
    rng = np.random.default_rng(0)
    first = controller.entropy(decisions(OPS, controller.sample(OPS, rng)))
    assert first == pytest.approx((8 * math.log(4) + math.log(8)) / 9, rel=0.01)
    for _ in range(150):
        net = controller.sample(OPS, rng)
        controller.learn(decisions(OPS, net), float(net["ops"].count("b")) - 4)
    net = controller.sample(OPS, rng)
    assert net["ops"].count("b") >= 7
    assert controller.entropy(decisions(OPS, net)) < first / 2


def test_the_entropy_bonus_keeps_a_controller_open() -> None:
    left = []
    for bonus in (0.0, 10.0):
        controller = Controller(questions(OPS), 0, rate=0.01, entropy=bonus)
        net = decisions(OPS, OPS.sample(np.random.default_rng(0)))
        for _ in range(60):
            controller.learn(net, 1.0)
        left.append(controller.entropy(net))
    assert left[0] < 0.1 < 0.5 < left[1]


def test_a_controller_leaves_the_state_of_torch_alone() -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    a, b, other = (Controller(questions(SPACE), s, rate=0.01, entropy=0.0) for s in (1, 1, 2))
    net = decisions(SPACE, SPACE.sample(np.random.default_rng(0)))
    assert a.entropy(net) == b.entropy(net) != other.entropy(net)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_proposing_changes_nothing() -> None:
    once, twice = (make_strategy("reinforce", OPS, seed=1) for _ in range(2))
    for _ in range(5):
        twice.idea(np.random.default_rng(7))
        (candidate,) = twice.ask()
        assert once.ask() == [candidate]
        for strategy in (once, twice):
            strategy.tell(candidate, Outcome((loss(candidate),)))


def test_reinforce_finds_what_random_search_does_not() -> None:
    for seed in range(3):
        assert least("reinforce", seed, 100) < 1 < least("random", seed, 100)


def test_the_scale_of_the_loss_is_no_matter() -> None:
    assert least("reinforce", 0, 60) == least("reinforce", 0, 60, scale=1e6)


def test_what_fails_is_avoided() -> None:
    strategy = make_strategy("reinforce", OPS, seed=2)
    late = []
    for i in range(100):
        (candidate,) = strategy.ask()
        bad = candidate.architecture["ops"][0] == "a"
        strategy.tell(candidate, Outcome() if bad else Outcome((0.5,)))
        late += [bad] if i >= 60 else []
    assert np.mean(late) < 0.1


def test_reinforce_learns_from_earlier_studies() -> None:
    rng = np.random.default_rng(0)
    nets = [OPS.sample(rng) for _ in range(100)]
    strategy = make_strategy("reinforce", OPS, seed=0)
    strategy.prime(known=[Known(net, ((2.0 - net["ops"].count("b")),)) for net in nets])
    assert np.mean([c.architecture["ops"].count("b") for c in strategy.ask(10)]) > 4


def test_seeds_may_be_larger_than_those_of_torch() -> None:
    assert make_strategy("reinforce", OPS, seed=2**70).ask(2)


def test_a_space_with_nothing_to_decide_is_no_problem() -> None:
    strategy = make_strategy("reinforce", SearchSpace(a=Choice(1)))
    (only,) = strategy.ask()
    strategy.tell(only, Outcome((0.0,)))
    assert only.architecture == Architecture({"a": 1})


def test_torch_is_imported_only_when_it_is_used() -> None:
    code = (
        "import sys; from phylon.search import Choice, SearchSpace, make_strategy; "
        "space = SearchSpace(a=Choice(1, 2)); "
        "make_strategy('bananas', space).ask(); make_strategy('pnas', space).ask(); "
        "print('torch' in sys.modules); make_strategy('reinforce', space); "
        "print('torch' in sys.modules)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert child.stdout.split() == ["False", "True"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rate": -0.1}, "strategy.rate is -0.1; allowed: numbers from 0 up"),
        ({"entropy": "high"}, "strategy.entropy is 'high'; allowed: numbers from 0 up"),
    ],
)
def test_wrong_numbers_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_strategy("reinforce", OPS, **params)
