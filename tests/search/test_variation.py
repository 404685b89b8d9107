import numpy as np
import pytest

from phylon.search import (
    Architecture,
    Block,
    Cell,
    Choice,
    Float,
    Integer,
    Repeat,
    SearchSpace,
    crossover,
    mutate,
    neighbours,
)
from phylon.search.errors import SpaceError
from phylon.search.variation import perturb


def children(space: SearchSpace, net: Architecture, n: int = 400) -> list[Architecture]:
    rng = np.random.default_rng(0)
    return [mutate(space, net, rng=rng) for _ in range(n)]


def test_numbers_take_steps_in_proportion_to_their_range() -> None:
    space = SearchSpace(lr=Float(1e-4, 1.0, log=True))
    steps = [abs(np.log10(c["lr"]) + 2) for c in children(space, Architecture({"lr": 0.01}))]
    assert 0.4 < np.median(steps) < 0.7  # 0.67 of the standard deviation, 0.2 * 4 decades


def test_numbers_at_the_end_of_their_range_step_inwards() -> None:
    space = SearchSpace(lr=Float(0.0, 1.0))
    assert all(c["lr"] > 0 for c in children(space, Architecture({"lr": 0.0})))


def test_near_integers_are_likelier_and_all_are_reached() -> None:
    space = SearchSpace(width=Integer(0, 9))
    widths = [c["width"] for c in children(space, Architecture({"width": 4}), 4000)]
    assert set(widths) == set(range(10)) - {4}
    assert widths.count(5) > 3 * widths.count(9)


def test_wide_integers_and_narrow_floats_still_change() -> None:
    space = SearchSpace(
        wide=Integer(-(2**53), 2**53), pair=Integer(1, 2), thin=Float(1.0, 1.0000000000000002)
    )
    net = Architecture({"wide": 2**53, "pair": 2, "thin": 1.0})
    assert all(c != net and c in space for c in children(space, net))


def test_what_is_fixed_is_not_mutated() -> None:
    space = SearchSpace(lr=Float(0.0, 1.0), layers=Repeat(Block(drop=Float(0.0, 1.0)), 1, 3))
    net = Architecture({"lr": 0.5, "layers": [{"drop": 0.1}, {"drop": 0.2}]})
    rng = np.random.default_rng(0)
    found = [mutate(space, net, rng=rng, fixed=(Float,)) for _ in range(50)]
    assert {len(each["layers"]) for each in found} == {1, 3}
    assert {each["lr"] for each in found} == {0.5}
    with pytest.raises(SpaceError, match="no decision with an alternative"):
        mutate(SearchSpace(lr=Float(0.0, 1.0)), Architecture({"lr": 0.5}), rng=rng, fixed=(Float,))


def test_floats_are_multiplied_within_their_range_or_drawn_anew_and_nothing_else_changes() -> None:
    space = SearchSpace(
        lr=Float(1e-4, 1.0, log=True),
        layers=Repeat(Block(drop=Float(0.0, 0.5), width=Integer(1, 99)), 0, 2),
        op=Choice("a", "b"),
    )
    net = Architecture({"lr": 0.9, "layers": [{"drop": 0.0, "width": 5}], "op": "a"})
    rng = np.random.default_rng(0)
    found = [perturb(space, net, rng=rng) for _ in range(800)]
    rates = [each["lr"] for each in found]
    assert 0.3 < rates.count(0.9 * 0.8) / 800 < 0.45
    assert 0.3 < rates.count(1.0) / 800 < 0.45
    assert len({each["layers"][0]["drop"] for each in found}) == 800  # zero is drawn anew
    assert {(each["op"], each["layers"][0]["width"]) for each in found} == {("a", 5)}
    assert all(each in space for each in found)


def test_levels_are_perturbed_to_others() -> None:
    space = SearchSpace(a=Float(0.0, 0.4, levels=5), b=Float(1e-3, 1.0, log=True, levels=4))
    rng = np.random.default_rng(0)
    found = [perturb(space, Architecture({"a": 0.2, "b": 0.01}), rng=rng) for _ in range(800)]
    for name, near in (("a", {0.1, 0.3}), ("b", {0.001, 0.1})):
        assert sum(each[name] in near for each in found) > 600
        assert {each[name] for each in found} == {*space.root.children[name].enumerate()}
    at_the_end = [perturb(space, Architecture({"a": 0.4, "b": 1.0}), rng=rng) for _ in range(200)]
    assert {0.4, 0.3} <= {each["a"] for each in at_the_end}


def test_another_branch_is_drawn_whole() -> None:
    space = SearchSpace(block=Choice(plain=Block(), wide=Block(kernel=Choice(3, 5))))
    assert {c.key for c in children(space, Architecture({"block": {"type": "plain"}}))} == {
        Architecture({"block": {"type": "wide", "kernel": kernel}}).key for kernel in (3, 5)
    }


def test_repeats_grow_and_shrink_anywhere_within_bounds() -> None:
    space = SearchSpace(widths=Repeat(Choice(1), 1, 2), tail=Repeat(Choice(1, 2, 3), 0, 3))
    net = Architecture({"widths": [1], "tail": [1, 2]})
    found = {(c["widths"], c["tail"]) for c in children(space, net)}
    assert ((1, 1), (1, 2)) in found
    assert {((1,), (1,)), ((1,), (2,))} <= found
    assert {((1,), (3, 1, 2)), ((1,), (1, 3, 2)), ((1,), (1, 2, 3))} <= found


def test_every_live_decision_has_the_same_chance() -> None:
    space = SearchSpace(a=Choice(1, 2), b=Float(0, 1), c=Choice("constant"), d=Integer(5, 5))
    net = Architecture({"a": 1, "b": 0.5, "c": "constant", "d": 5})
    share = np.mean([c["a"] == 2 for c in children(space, net, 1000)])
    assert 0.45 < share < 0.55


def test_crossover_mixes_within_shared_branches_and_repeats() -> None:
    branch = Block(x=Choice(1, 2), y=Choice(1, 2))
    space = SearchSpace(
        block=Choice(p=branch, q=Block(z=Choice(9))), items=Repeat(Choice(1, 2), 1, 3)
    )
    a = Architecture({"block": {"type": "p", "x": 1, "y": 1}, "items": [1]})
    b = Architecture({"block": {"type": "p", "x": 2, "y": 2}, "items": [2, 2, 2]})
    c = Architecture({"block": {"type": "q", "z": 9}, "items": [1]})
    rng = np.random.default_rng(0)
    mixed = [crossover(space, a, b, rng=rng) for _ in range(200)]
    assert len({child["block"] for child in mixed}) == 4
    assert {child["items"] for child in mixed} == {(1,), (2,), (1, 2, 2), (2, 2, 2)}
    assert {crossover(space, a, c, rng=rng)["block"] for _ in range(50)} == {a["block"], c["block"]}


def test_neighbours_take_all_other_options_and_integers_step_both_ways() -> None:
    space = SearchSpace(op=Choice("a", "b", "c"), n=Integer(0, 1000), tail=Repeat(Choice(1), 0, 2))
    net = Architecture({"op": "b", "n": 500, "tail": [1]})
    found = [n.nested for n in neighbours(space, net, np.random.default_rng(0))]
    assert [n["op"] for n in found if n["op"] != "b"] == ["a", "c"]
    assert {499, 501} < {n["n"] for n in found}
    assert len({n["n"] for n in found} - {499, 500, 501}) == 2
    assert [n["tail"] for n in found if n["tail"] != [1]] == [[1, 1], []]
    assert len(found) == 2 + 4 + 2


def test_neighbours_of_a_cell_are_all_cells_with_one_other_operation() -> None:
    space = SearchSpace(cell=Cell(3, ("none", "skip_connect", "conv")))
    net = next(space.enumerate())
    found = set(neighbours(space, net, np.random.default_rng(0)))
    near = {n for n in space.enumerate() if len(n.flat.items() - net.flat.items()) == 1}
    assert found == near
    assert len(found) == 3 * 2


def test_neighbours_of_another_branch_are_drawn_with_their_decisions() -> None:
    space = SearchSpace(block=Choice(plain=Block(), wide=Block(kernel=Choice(3, 5))))
    net = Architecture({"block": {"type": "plain"}})
    rng = np.random.default_rng(0)
    (found,) = {n["block"]["type"] for _ in range(9) for n in neighbours(space, net, rng)}
    assert found == "wide"


def test_what_has_no_alternative_has_no_neighbours() -> None:
    space = SearchSpace(a=Choice(1), b=Integer(5, 5))
    net = Architecture({"a": 1, "b": 5})
    assert list(neighbours(space, net, np.random.default_rng(0))) == []
    with pytest.raises(SpaceError, match="`a` is 2"):
        neighbours(space, Architecture({"a": 2, "b": 5}), np.random.default_rng(0))


def test_what_cannot_be_varied_is_said() -> None:
    rng = np.random.default_rng(0)
    space = SearchSpace(a=Choice(1))
    with pytest.raises(SpaceError, match="no decision with an alternative"):
        mutate(space, Architecture({"a": 1}), rng=rng)
    with pytest.raises(SpaceError, match="`a` is 2"):
        mutate(space, Architecture({"a": 2}), rng=rng)
    with pytest.raises(SpaceError, match="`a` is 2"):
        crossover(space, Architecture({"a": 1}), Architecture({"a": 2}), rng=rng)
