import numpy as np

from phylon.search import Architecture, Cell, Choice, Float, SearchSpace
from phylon.search.evolution import Member
from phylon.search.pool import candidate_pool

SPACE = SearchSpace(cell=Cell(4, ("none", "skip_connect", "conv", "pool")), act=Choice("a", "b"))


def member(id_: int, space: SearchSpace, seed: int) -> Member:
    return Member(id_, space.sample(np.random.default_rng(seed)), 3, (0.0,))


def changes(a: Architecture, b: Architecture) -> int:
    return sum(a.flat[name] != b.flat[name] for name in a.flat)


def test_a_pool_holds_each_new_network_once() -> None:
    parents = [member(7, SPACE, 1), member(8, SPACE, 2)]
    everything = candidate_pool(SPACE, parents, set(), np.random.default_rng(0))
    seen = set(list(everything)[::2])
    pool = candidate_pool(SPACE, parents, seen, np.random.default_rng(0))
    assert pool.keys() == everything.keys() - seen
    assert all(SPACE.key(each.architecture) == key for key, each in pool.items())


def test_operators_tell_how_far_a_proposal_is_from_its_parent() -> None:
    parents = {7: member(7, SPACE, 1), 8: member(8, SPACE, 2)}
    pool = candidate_pool(SPACE, list(parents.values()), set(), np.random.default_rng(0))
    operators = set()
    for each in pool.values():
        operators.add(each.operator)
        if each.operator == "sample":
            assert (each.parents, each.generation) == ((), 0)
            continue
        (parent,) = each.parents
        far = changes(parents[parent].architecture, each.architecture)
        assert far == 1 if each.operator == "mutate" else far <= 2
        assert each.generation == 4
    assert operators == {"mutate", "mutate_twice", "sample"}


def test_all_neighbours_are_there_unless_there_are_too_many() -> None:
    parent = member(7, SPACE, 1)
    rng = np.random.default_rng(0)
    all_, some = (
        candidate_pool(SPACE, [parent], set(), rng, near=near, far=0, drawn=0) for near in (99, 5)
    )
    assert 5 == len(some) < len(all_) <= 6 * 3 + 1


def test_what_has_no_alternative_gives_an_empty_pool() -> None:
    space = SearchSpace(a=Choice(1))
    seen = {space.key(Architecture({"a": 1}))}
    assert candidate_pool(space, [member(0, space, 0)], seen, np.random.default_rng(0)) == {}
    floats = SearchSpace(a=Float(0, 1))
    assert candidate_pool(floats, [], set(), np.random.default_rng(0), drawn=3)
