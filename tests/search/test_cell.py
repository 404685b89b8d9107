import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylon.search import Architecture, Cell, Float, SearchSpace, crossover, mutate
from phylon.search.errors import SpaceError
from phylon.trainables.nasbench201 import (
    CELL,
    OPERATIONS,
    from_string,
    nasbench201_space,
    to_string,
)

SPACE = SearchSpace(cell=CELL)
TEXTS = [CELL.write(value) for value in CELL.enumerate()]
FUNCTIONS: Mapping[str, Callable[[float], float]] = {
    "skip_connect": lambda x: x,
    "nor_conv_1x1": lambda x: math.sin(3 * x),
    "nor_conv_3x3": lambda x: x * math.exp(-x * x) + 0.3 * x,
    "avg_pool_3x3": lambda x: 0.7 * math.tanh(2 * x),
}
texts = st.sampled_from(TEXTS)


def key(text: str, cell: Cell = CELL) -> str:
    return SearchSpace(cell=cell).key(Architecture({"cell": cell.read(text)}))


def output(text: str) -> float:
    """Return what a cell makes of 0.37 when every operation is some function, 0 for 0."""
    values = [0.37]
    for target in range(1, CELL.nodes):
        edges = ((source, CELL.read(text)[f"edge_{source}_{target}"]) for source in range(target))
        values.append(sum(FUNCTIONS[op](values[source]) for source, op in edges if op != "none"))
    return values[-1]


@given(texts)
def test_strings_round_trip(text: str) -> None:
    assert CELL.write(CELL.read(text)) == text
    assert to_string(from_string(text)) == text
    assert from_string(text) in nasbench201_space()


def test_same_key_means_same_function_and_same_live_operations() -> None:
    by_key: dict[str, tuple[float, Counter[str]]] = {}
    for text in TEXTS:
        live = Counter(op for _, op in CELL.live(CELL.read(text)) if op != "skip_connect")
        value, operations = by_key.setdefault(key(text), (output(text), live))
        assert output(text) == pytest.approx(value, abs=1e-9), text
        assert live == operations, text
    assert len(by_key) == 5425


def test_same_function_of_unshared_operations_means_same_key() -> None:
    """What computes the same from as many operations is the same but for who shares an output."""
    groups: dict[tuple[float, tuple[tuple[str, int], ...]], set[str]] = {}
    for text in TEXTS:
        live = Counter(op for _, op in CELL.live(CELL.read(text)) if op != "skip_connect")
        place = round(output(text), 9), tuple(sorted(live.items()))
        groups.setdefault(place, set()).add(key(text))
    assert sum(len(keys) > 1 for keys in groups.values()) < 0.02 * len(groups)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("|a~0|+|none~0|none~1|+|b~0|none~1|none~2|", "|none~0|+|none~0|a~1|+|b~0|none~1|a~2|"),
        ("|a~0|+|none~0|none~1|+|none~0|b~1|none~2|", "|none~0|+|a~0|none~1|+|none~0|none~1|b~2|"),
        ("|a~0|+|none~0|skip~1|+|none~0|none~1|b~2|", "|a~0|+|none~0|none~1|+|none~0|b~1|none~2|"),
        ("|a~0|+|b~0|none~1|+|none~0|a~1|b~2|", "|b~0|+|a~0|none~1|+|none~0|b~1|a~2|"),
    ],
    ids=["dead edges", "other node", "identity", "order of nodes"],
)
def test_one_network_in_two_spellings_has_one_key(one: str, other: str) -> None:
    cell = Cell(4, ("none", "skip", "a", "b"), identity="skip")
    assert key(one, cell) == key(other, cell)
    distinct = SearchSpace(cell=cell).distinct()
    spellings = [Architecture({"cell": cell.read(text)}) for text in (one, other)]
    assert len({distinct.key(each) for each in spellings}) == 2
    assert SearchSpace.from_json(distinct.to_json()) == distinct


@given(st.integers(0, 2**32))
def test_the_order_of_nodes_is_no_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = Cell(6, ("none", "skip_connect", "a"))
    moved = [0, *(1 + rng.permutation(4)), 5]
    one, other = cell.sample(rng), cell.sample(rng)
    for source, target in cell.edges:
        start, end = sorted((moved[source], moved[target]))
        if start != moved[source]:
            one[f"edge_{source}_{target}"] = "none"
        other[f"edge_{start}_{end}"] = one[f"edge_{source}_{target}"]
    assert key(cell.write(one), cell) == key(cell.write(other), cell)


def test_large_cells_of_one_operation_have_a_key_in_no_time() -> None:
    """Trying all orders of their operations would take longer than anybody has."""
    cell = Cell(9, ("none", "a"))
    everywhere = dict.fromkeys(cell.block.children, "a")
    spellings = (cell.write(everywhere | {edge: "none"}) for edge in ("edge_0_1", "edge_7_8"))
    one, other = (key(text, cell) for text in spellings)
    assert one == other, "both are a cell of eight nodes with all edges"


def test_sharing_an_operation_is_not_having_it_twice() -> None:
    cell = Cell(4, ("none", "skip", "a"), identity="skip")
    shared = "|a~0|+|none~0|skip~1|+|none~0|skip~1|a~2|"
    twice = "|a~0|+|a~0|none~1|+|none~0|skip~1|a~2|"
    assert key(shared, cell) != key(twice, cell)


@given(texts, texts, st.integers(0, 2**32))
def test_variation_stays_in_the_space(one: str, other: str, seed: int) -> None:
    space = SearchSpace(cell=CELL, lr=Float(0.1, 1.0))
    rng = np.random.default_rng(seed)
    a, b = (Architecture({"cell": CELL.read(text), "lr": 0.5}) for text in (one, other))
    child, mutant = crossover(space, a, b, rng=rng), mutate(space, a, rng=rng)
    assert {child, mutant} <= {each for each in (child, mutant) if each in space}
    assert sum(x != y for x, y in zip(a.flat.items(), mutant.flat.items(), strict=True)) == 1
    assert all(child.flat[name] in (a.flat[name], b.flat[name]) for name in child.flat)


@given(texts)
def test_the_vector_and_json_bring_back_the_cell(text: str) -> None:
    architecture = Architecture({"cell": CELL.read(text)})
    assert SPACE.decode(SPACE.encode(architecture)) == architecture
    assert SearchSpace.from_json(SPACE.to_json()) == SPACE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has 2 nodes; allowed: 4"),
        ("|none~0|+|none~0|none~1|", "has 3 nodes; allowed: 4"),
        ("|none~0|+|none~0|+|none~0|none~1|none~2|", "'|none~0|' is not what comes into node 2"),
        ("none~0+|none~0|none~1|+|none~0|none~1|none~2|", "'none~0' is not what comes into node 1"),
        (
            "|none~0|+|none~0|conv~1|+|none~0|none~1|none~2|",
            "'conv~1' at position 17; allowed: operation~1 with one of none, skip_connect",
        ),
        ("|none~0|+|none~0|none~2|+|none~0|none~1|none~2|", "'none~2' at position 17"),
        ("|none~0|+|none~0|none~0|+|none~0|none~1|none~2|", "'none~0' at position 17"),
        ("|none|+|none~0|none~1|+|none~0|none~1|none~2|", "'none' at position 1; allowed"),
    ],
)
def test_what_does_not_parse_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(SpaceError) as raised:
        CELL.read(text)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("nodes", "operations", "message"),
    [
        (1, OPERATIONS, "nodes is 1; allowed: integers from 2 up"),
        (True, OPERATIONS, "nodes is True"),
        (3, ("a|b",), "operation 'a|b'"),
        (3, (), "operations are ()"),
        (3, ("a", "a"), "operations are ('a', 'a')"),
    ],
)
def test_bad_cells_are_refused(nodes: int, operations: tuple[str, ...], message: str) -> None:
    with pytest.raises(SpaceError) as raised:
        Cell(nodes, operations)
    assert message in str(raised.value)


@pytest.mark.parametrize("fields", [{"cells": 0}, {"cells": 1.5}, {"channels": True}])
def test_what_no_network_can_have_is_refused(fields: dict[str, Any]) -> None:
    ((name, value),) = fields.items()
    with pytest.raises(SpaceError, match=f"{name} is {value}; allowed: integers from 1 up"):
        nasbench201_space(**fields)
