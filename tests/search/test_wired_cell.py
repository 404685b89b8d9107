import math
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylon.search import (
    Architecture,
    Candidate,
    Float,
    Outcome,
    SearchSpace,
    WiredCell,
    crossover,
    make_strategy,
    mutate,
    neighbours,
)
from phylon.search.complexity import complexity, most_complex
from phylon.search.decisions import decide, decisions, questions
from phylon.search.errors import SpaceError
from phylon.search.features import Features
from phylon.search.path_encoding import path_encoding, paths, words
from phylon.search.wired_cell import INPUTS, Wires, wires

SMALL = WiredCell(2, ("a", "b"))
CELL = WiredCell(4, ("skip", "a", "b"))
SPACE = SearchSpace(normal=CELL, reduction=CELL, lr=Float(1e-3, 1.0, log=True))
FUNCTIONS: Mapping[str, Callable[[float], float]] = {
    "a": lambda x: math.sin(3 * x),
    "b": lambda x: x * math.exp(-x * x) + 0.3 * x,
}
SEEDS = st.integers(0, 2**32 - 1)


def spelled(*nodes: tuple[tuple[int, str], tuple[int, str]]) -> dict[str, Any]:
    """Return the value in which each node takes these, left and right."""
    return {
        f"node_{number}": {
            "left": {"source": left[0], "operation": left[1]},
            "right": {"source": right[0], "operation": right[1]},
        }
        for number, (left, right) in enumerate(nodes, start=2)
    }


def key(cell: WiredCell, value: dict[str, Any]) -> str:
    return SearchSpace(cell=cell).key(Architecture({"cell": value}))


def outputs(value: dict[str, Any]) -> tuple[float, ...]:
    """Return what the nodes make of two numbers, in order of size."""
    numbers = [0.37, -0.81]
    for (a, f), (b, g) in wires(value):
        numbers.append(FUNCTIONS[f](numbers[a]) + FUNCTIONS[g](numbers[b]))
    return tuple(sorted(round(number, 9) for number in numbers[2:]))


def shuffled(taken: Wires, rng: np.random.Generator) -> Wires:
    """Number the nodes in another order in which all come after their sources; swap inputs."""
    numbers, nodes = {0: 0, 1: 1}, []
    while len(nodes) < len(taken):
        node = int(rng.integers(INPUTS, INPUTS + len(taken)))
        if node not in numbers and all(source in numbers for source, _ in taken[node - INPUTS]):
            left, right = ((numbers[source], op) for source, op in taken[node - INPUTS])
            nodes.append((right, left) if rng.random() < 0.5 else (left, right))
            numbers[node] = len(numbers)
    return tuple(nodes)


def test_keys_are_equal_exactly_for_equal_functions() -> None:
    """Two nodes cannot yet tell a shared operation from two of a kind."""
    of_key: dict[str, set[tuple[float, ...]]] = {}
    for value in SMALL.enumerate():
        of_key.setdefault(key(SMALL, value), set()).add(outputs(value))
    assert all(len(functions) == 1 for functions in of_key.values())
    assert len(set.union(*of_key.values())) == len(of_key) < SMALL.size / 3


@given(SEEDS, st.integers(1, 7), st.integers(1, 3))
def test_order_and_sides_are_no_matter(seed: int, nodes: int, operations: int) -> None:
    rng = np.random.default_rng(seed)
    cell = WiredCell(nodes, ("a", "b", "c")[:operations])
    value = cell.sample(rng)
    other = spelled(*shuffled(wires(value), rng))
    assert cell.graph(value) == cell.graph(other)
    least = cell.graph(value)
    cell.check(least, ())
    assert cell.graph(least) == least
    space = SearchSpace(cell=cell)
    nets = [Architecture({"cell": each}) for each in (value, other)]
    assert space.key(nets[0]) == space.key(nets[1])
    for view in (Features(space), lambda net: path_encoding(space, net)):
        np.testing.assert_array_equal(*map(view, nets))
    distinct = space.distinct()
    assert len({*map(distinct.key, nets)}) == len({*nets})
    assert SearchSpace.from_json(distinct.to_json()) == distinct


def test_sharing_an_operation_is_not_having_it_twice() -> None:
    twins = ((0, "a"), (1, "b")), ((0, "a"), (1, "b"))
    cell = WiredCell(3, ("a", "b"))
    one = key(cell, spelled(*twins, ((2, "a"), (2, "a"))))
    assert one == key(cell, spelled(*twins, ((3, "a"), (3, "a"))))
    assert one != key(cell, spelled(*twins, ((2, "a"), (3, "a"))))


def test_large_cells_of_equal_nodes_have_a_key_in_no_time() -> None:
    """Trying all their orders would take longer than anybody has."""
    cell = WiredCell(14, ("a",))
    everywhere = spelled(*[((0, "a"), (1, "a"))] * 14)
    assert cell.graph(everywhere) == everywhere


def test_neighbours_take_one_other_source_or_operation() -> None:
    space = SearchSpace(cell=CELL)
    rng = np.random.default_rng(0)
    net = space.sample(rng)
    found = list(neighbours(space, net, rng))
    others = 2 * sum(node - 1 + len(CELL.operations) - 1 for node in range(2, 6))
    assert len({*found}) == len(found) == others
    for neighbour in found:
        assert neighbour in space
        assert sum(net.flat[name] != value for name, value in neighbour.flat.items()) == 1


@given(SEEDS)
def test_strategies_see_all_its_decisions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = SPACE.sample(rng), SPACE.sample(rng)
    child, mutant = crossover(SPACE, a, b, rng=rng), mutate(SPACE, a, rng=rng)
    assert child in SPACE
    assert mutant in SPACE
    assert all(child.flat[name] in (a.flat[name], b.flat[name]) for name in child.flat)
    assert sum(x != y for x, y in zip(a.flat.items(), mutant.flat.items(), strict=True)) == 1
    taken = iter(decisions(SPACE, a))
    again = decide(SPACE, lambda *_: next(taken).taken, rng)
    assert {**again, "lr": 0} == {**a, "lr": 0}
    assert questions(SPACE)["reduction.node_3.left.source"] == 3
    assert SPACE.decode(SPACE.encode(a)) == a
    assert complexity(SPACE, a) == most_complex(SPACE) == 0


def test_paths_begin_with_the_input_and_end_at_any_node() -> None:
    value = spelled(((0, "a"), (1, "b")), ((2, "b"), (1, "a")))
    told = {("0", "a"), ("1", "b"), ("0", "a", "b"), ("1", "b", "b"), ("1", "a")}
    assert paths(SMALL, value) == told
    assert told < {*words(SMALL)}
    assert len(words(SMALL)) == 2 * 2 + 2 * 4
    assert len(words(WiredCell(5, tuple("abcdefg")))) == 2 * 7 + 2 * 49  # 2 * 343 more are too many


def loss(candidate: Candidate) -> float:
    """Return the share of nodes' inputs that are no `a` on one of the cell's inputs."""
    cells = (candidate.architecture.nested[name] for name in ("normal", "reduction"))
    inputs = [wire for cell in cells for node in wires(cell) for wire in node]
    return sum((source > 1) + (operation != "a") for source, operation in inputs) / len(inputs)


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("local_search", 60),
        ("pnas", 14),
        ("regularized_evolution", 60),
        ("reinforce", 20),
        ("surrogate", 14),
    ],
)
def test_strategies_propose_each_cell_once(name: str, n: int) -> None:
    strategy = make_strategy(name, SPACE, seed=1)
    losses, keys = [], set[str]()
    for _ in range(n):
        (candidate,) = strategy.ask()
        SPACE.validate(candidate.architecture)
        keys.add(SPACE.key(candidate.architecture))
        losses.append(loss(candidate))
        strategy.tell(candidate, Outcome((losses[-1],)))
    assert len(keys) == n
    assert n < 60 or min(losses[30:]) < min(losses[:10])


def test_a_cell_is_written_as_what_comes_from_where() -> None:
    value = spelled(((0, "a"), (1, "b")), ((2, "b"), (2, "b")))
    assert SMALL.write(value) == "|a~0|b~1|+|b~2|b~2|"
    assert str(SMALL) == "a cell of 2 nodes with two inputs each by a, b"


def test_all_cells_are_enumerated() -> None:
    cell = WiredCell(1, ("a", "b", "c"))
    found = [Architecture(value) for value in islice(cell.enumerate(), 40)]
    assert len(set(found)) == len(found) == cell.size == 36
    assert len({key(cell, net.nested) for net in found}) == 6 * 7 / 2


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"nodes": 0, "operations": ["a"]}, "nodes is 0; allowed: integers from 1 up"),
        ({"nodes": 2, "operations": ["a", "a"]}, "all different"),
        ({"nodes": 2, "operations": ["a~"]}, r"'a~'; allowed: text without \| \+ ~"),
        ({"nodes": 2, "operations": "a"}, "`space.cell.operations` is 'a'; allowed: a list"),
        ({"nodes": 2}, "`operations` is missing"),
        ({"nodes": 2, "operations": ["a"], "zero": "a"}, "unknown key `zero`"),
    ],
)
def test_bad_cells_are_refused(data: dict[str, Any], told: str) -> None:
    with pytest.raises(SpaceError, match=told):
        SearchSpace.from_json({"cell": {"wired_cell": data}})


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (spelled(((0, "a"), (2, "b")), ((0, "a"), (1, "b"))), "`cell.node_2.right.source` is 2"),
        (spelled(((0, "a"), (1, "c")), ((0, "a"), (1, "b"))), "`cell.node_2.right.operation`"),
        (spelled(((0, "a"), (1, "b"))), "`cell.node_3` is missing"),
    ],
)
def test_foreign_values_are_refused_at_their_place(value: dict[str, Any], told: str) -> None:
    with pytest.raises(SpaceError, match=told):
        SearchSpace(cell=SMALL).validate(Architecture({"cell": value}))
