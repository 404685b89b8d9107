"""Laws that hold for every space, checked on random ones."""

import itertools
import json
import pickle
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phylon.search import (
    Architecture,
    Block,
    Cell,
    Choice,
    Float,
    Integer,
    Repeat,
    SearchSpace,
    WiredCell,
    crossover,
    mutate,
    neighbours,
)

laws = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
NAMES = st.sampled_from(["alpha", "beta", "gamma", "delta"])
SEEDS = st.integers(0, 2**32)


@st.composite
def integers(draw: st.DrawFn, most: int = 10**6) -> Integer:
    low, step = draw(st.integers(1, 1000)), draw(st.integers(1, 9))
    log = draw(st.booleans())
    sign = -1 if not log and draw(st.booleans()) else 1
    return Integer(sign * low, sign * low + step * draw(st.integers(0, most)), step, log)


@st.composite
def floats(draw: st.DrawFn) -> Float:
    log = draw(st.booleans())
    bound = st.floats(1e-300 if log else -1e300, 1e300, allow_subnormal=False)
    low, high = sorted(draw(st.tuples(bound, bound).filter(lambda pair: pair[0] != pair[1])))
    return Float(low, high, log)


@st.composite
def levelled(draw: st.DrawFn, most: int = 40) -> Float:
    log = draw(st.booleans())
    low = draw(st.floats(1e-9 if log else -1e9, 1e9))
    high = low + abs(low) * draw(st.floats(1e-6, 1e6)) + draw(st.floats(1e-6, 1e6))
    return Float(low, high, log, draw(st.integers(2, most)))


CONSTANTS = st.lists(
    st.none() | st.booleans() | st.integers() | st.floats(-9, 9) | st.text(max_size=5),
    min_size=1,
    max_size=4,
    unique=True,
).map(lambda options: Choice(*options))


CELLS = st.sampled_from(
    [
        Cell(2, ("none", "a")),
        Cell(3, ("a", "none")),
        WiredCell(1, ("a", "b")),
        WiredCell(2, ("a",)),
        WiredCell(2, ("a",), distinct=True),
    ]
)


def trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def blocks(nodes: st.SearchStrategy[Any], fewest: int) -> st.SearchStrategy[Block]:
        decisions = st.dictionaries(NAMES, nodes, min_size=fewest, max_size=3)
        return decisions.map(lambda named: Block(**named))

    def extend(nodes: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        branches = st.dictionaries(NAMES, blocks(nodes, 0), min_size=1, max_size=3)
        bounds = st.tuples(st.integers(0, 3), st.integers(1, 3)).map(sorted)
        return (
            blocks(nodes, 1)
            | branches.map(lambda named: Choice(**named))
            | st.builds(lambda node, ends: Repeat(node, *ends), nodes, bounds)
        )

    nodes = st.recursive(leaves, extend, max_leaves=8)
    return st.dictionaries(NAMES, nodes, min_size=1, max_size=4).map(SearchSpace)


LEAVES = integers() | floats() | levelled() | CONSTANTS
SPACES = trees(LEAVES | CELLS)
FINITE = trees(integers(most=3) | levelled(most=4) | CONSTANTS | CELLS).filter(
    lambda space: space.size <= 300
)


def draws(space: SearchSpace, seed: int, n: int = 3) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(n)]


@laws
@given(SPACES, SEEDS)
def test_all_views_of_a_sample_round_trip(space: SearchSpace, seed: int) -> None:
    for net in draws(space, seed):
        assert net in space
        assert Architecture(json.loads(json.dumps(net.nested))) == net
        assert Architecture.from_flat(json.loads(json.dumps(net.flat))) == net
        assert pickle.loads(pickle.dumps(net)) == net  # noqa: S301
        vector = space.encode(net)
        assert vector.shape == (space.width,)
        assert space.decode(vector) == net
        assert space.decode(np.nan_to_num(vector, nan=0.5)) == net  # dead columns are ignored
        np.testing.assert_array_equal(space.encode(space.decode(vector)), vector)


@laws
@given(SPACES, SEEDS)
def test_spaces_round_trip_through_json_in_any_order(space: SearchSpace, seed: int) -> None:
    shuffled = json.loads(
        json.dumps(space.to_json()), object_pairs_hook=lambda pairs: dict(reversed(pairs))
    )
    again = SearchSpace.from_json(shuffled)
    assert again == space
    assert hash(again) == hash(space)
    assert draws(again, seed) == draws(space, seed)
    assert eval(repr(space)) == space  # noqa: S307
    assert pickle.loads(pickle.dumps(space)) == space  # noqa: S301


@laws
@given(SPACES, SPACES)
def test_spaces_differ_if_and_only_if_differences_say_so(a: SearchSpace, b: SearchSpace) -> None:
    assert a.differences(a) == []
    assert bool(a.differences(b)) == bool(b.differences(a)) == (a != b)


@laws
@given(SPACES, SEEDS)
def test_mutation_changes_one_decision(space: SearchSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for net in draws(space, seed):
        if not list(space.root.sites(net.nested, ())):
            continue
        child = mutate(space, net, rng=rng)
        assert child in space
        assert child.key != net.key
        sites = space.root.sites(net.nested, ())
        assert any(is_the_change(*site, net, child) for site in sites)


@laws
@given(trees(LEAVES), SEEDS)  # cells have too many neighbours to look at all
def test_neighbours_differ_in_one_decision_each_in_its_turn(space: SearchSpace, seed: int) -> None:
    for net in draws(space, seed):
        sites = list(space.root.sites(net.nested, ()))
        found = list(neighbours(space, net, np.random.default_rng(seed)))
        assert len(found) == len(set(found))
        assert net not in found
        for neighbour in found:
            assert neighbour in space
            assert any(is_the_change(*site, net, neighbour) for site in sites)
        for site in sites:
            assert any(is_the_change(*site, net, neighbour) for neighbour in found)


def is_the_change(
    path: tuple[str | int, ...], node: Any, old: Any, net: Architecture, child: Architecture
) -> bool:
    """Whether the child is its parent but for an allowed mutation at `path`."""
    nested: Any = net.nested
    place: Any = nested
    new: Any = child.nested
    try:
        for name in path[:-1]:
            place = place[name]
        for name in path:
            new = new[name]
    except (KeyError, IndexError, TypeError):
        return False
    place[path[-1]] = new
    return Architecture(nested) == child and is_a_mutation(node, old, new)


def is_a_mutation(node: Any, old: Any, new: Any) -> bool:
    match node:
        case Choice():
            return bool(node.index(old) != node.index(new))
        case Repeat():
            short, long = sorted((old, new), key=len)
            shorter = [long[:i] + long[i + 1 :] for i in range(len(long))]
            return len(long) == len(short) + 1 and short in shorter
        case _:
            return bool(old != new)


@laws
@given(SPACES, SEEDS)
def test_crossover_takes_every_decision_from_a_parent(space: SearchSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, _ = draws(space, seed)
    child = crossover(space, a, b, rng=rng)
    assert child in space
    for path, value in child.flat.items():
        inherited = [parent.flat[path] for parent in (a, b) if path in parent.flat]
        assert any(value is each or value == each for each in inherited)
    assert crossover(space, a, a, rng=rng) == a


@laws
@given(FINITE, SEEDS)
def test_small_spaces_enumerate_to_their_size(space: SearchSpace, seed: int) -> None:
    everything = list(space.enumerate())
    assert len(everything) == len(set(everything)) == space.size
    assert all(net in space for net in everything)
    assert set(everything).issuperset(draws(space, seed, n=20))


@laws
@given(SPACES, SEEDS, st.data())
def test_a_foreign_value_is_refused_at_its_place(
    space: SearchSpace, seed: int, data: st.DataObject
) -> None:
    (net,) = draws(space, seed, n=1)
    flat = {path: value for path, value in net.flat.items() if not path.endswith("count")}
    if flat:
        path = data.draw(st.sampled_from(sorted(flat)))
        foreign = Architecture.from_flat({**net.flat, path: "never an option"})
        assert foreign not in space


@laws
@given(integers())
def test_the_unit_scale_of_integers_is_exact(node: Integer) -> None:
    for value in (node.low, node.low + node.step * (node.size // 3), node.high):
        if node.low < node.high:
            assert node.at(node.unit(value)) == value
        assert node.at(-0.1) == node.low
        assert node.at(1.1) == node.high


@laws
@given(floats(), st.floats(0, 1))
def test_the_unit_scale_of_floats_stays_in_range(node: Float, unit: float) -> None:
    assert (node.at(0.0), node.at(1.0)) == (node.low, node.high)
    assert node.low <= node.at(unit) <= node.high


@laws
@given(levelled(), st.floats(-0.5, 1.5))
def test_the_levels_of_a_float_are_its_only_values(node: Float, unit: float) -> None:
    levels = list(node.enumerate())
    assert levels == sorted(set(levels))
    assert (levels[0], levels[-1], len(levels)) == (node.low, node.high, node.size)
    assert [node.at(node.unit(level)) for level in levels] == levels
    assert node.at(unit) in levels
    for level, above in itertools.pairwise(levels):
        assert (node.beside(level, up=True), node.beside(above, up=False)) == (above, level)
    assert (node.beside(levels[0], up=False), node.beside(levels[-1], up=True)) == (
        levels[1],
        levels[-2],
    )
    np.testing.assert_allclose(
        [Float(node.low, node.high, node.log).unit(level) for level in levels],
        np.linspace(0, 1, len(levels)),
        atol=1e-6,
    )
