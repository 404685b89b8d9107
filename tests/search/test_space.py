import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from phylon.search import Architecture, Block, Choice, Float, Integer, Repeat, SearchSpace
from phylon.search.errors import SpaceError

SPACE = SearchSpace(
    width=Integer(8, 64, step=8),
    act=Choice("relu", "gelu"),
    lr=Float(1e-4, 1e-1, log=True),
    stages=Repeat(Block(width=Integer(1, 4)), 1, 3),
    block=Choice(plain=Block(), residual=Block(kernel=Choice(3, 5))),
)
NET = {
    "width": 16,
    "act": "relu",
    "lr": 0.01,
    "stages": [{"width": 2}, {"width": 3}],
    "block": {"type": "residual", "kernel": 5},
}


def test_vector_has_a_column_for_each_decision() -> None:
    # act; block, its kernel; lr; stages, their three widths; width
    nan = math.nan
    plain = {**NET, "block": {"type": "plain"}}
    assert SPACE.width == 9
    np.testing.assert_array_equal(
        SPACE.encode(Architecture(NET)), [0, 1, 1, 0.01, 2, 2, 3, nan, 16]
    )
    np.testing.assert_array_equal(
        SPACE.encode(Architecture(plain)), [0, 0, nan, 0.01, 2, 2, 3, nan, 16]
    )


def test_membership() -> None:
    assert Architecture(NET) in SPACE
    assert Architecture({**NET, "width": 17}) not in SPACE
    assert NET not in SPACE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 17}, r"`width` is 17; allowed: an integer from 8 to 64 .* 8 \(nearest: 16\)"),
        ({"width": 16.0}, r"`width` is 16.0; allowed: an integer"),
        ({"width": True}, r"`width` is True; allowed: an integer"),
        ({"lr": 1.5}, r"`lr` is 1.5; allowed: a float from 0.0001 to 0.1, on a logarithmic scale"),
        ({"lr": 1}, r"`lr` is 1; allowed: a float .* \(write 1.0\)"),
        ({"act": "tanh"}, r"`act` is 'tanh'; allowed: one of 'relu', 'gelu'"),
        ({"stages": []}, r"`stages.count` is 0; allowed: a list of 1 to 3 items"),
        ({"stages": 2}, r"`stages` is 2; allowed: a list of 1 to 3"),
        ({"stages": [{"width": 2}, {"width": 9}]}, r"`stages.1.width` is 9; allowed"),
        ({"stages": [{"depth": 2}]}, r"`stages.0.width` is missing; allowed: an integer"),
        ({"stages": [2]}, r"`stages.0` is 2; allowed: a block"),
        ({"block": {"type": "dense"}}, r"`block` is .*allowed: a branch of type plain, residual"),
        ({"block": {"type": "plain", "kernel": 3}}, r"`block.kernel` is not in the space"),
        ({"block": "plain"}, r"`block` is 'plain'; allowed: a branch"),
        ({"widht": 3}, r"`widht` is not in the space; did you mean `width`\?"),
    ],
)
def test_validate_names_place_value_and_what_is_allowed(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpaceError, match=message):
        SPACE.validate(Architecture({**NET, **change}))


@pytest.mark.parametrize(
    ("column", "number", "message"),
    [
        (0, 0.5, "0.5 for the index of one of 'relu', 'gelu'"),
        (0, 2, "index 2 for one of"),
        (0, math.nan, "nan for the index"),
        (3, 9.0, "`lr` is 9.0"),
        (4, 4, "length 4 for a list of 1 to 3"),
        (8, 17, "`width` is 17"),
    ],
)
def test_decode_refuses_what_stands_for_nothing(column: int, number: float, message: str) -> None:
    vector = SPACE.encode(Architecture(NET))
    vector[column] = number
    with pytest.raises(SpaceError, match=message):
        SPACE.decode(vector)
    with pytest.raises(SpaceError, match=r"shape \(8,\); allowed: \(9,\)"):
        SPACE.decode(vector[1:])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Integer(4, 2), r"Integer\(low=4, high=2.*low 4 is above high 2; swap them"),
        (lambda: Integer(0, 10, step=4), "let high be 8 or 12"),
        (lambda: Integer(0, 10, step=0), "step is 0; allowed: 1 or more"),
        (lambda: Integer(0, 10, log=True), "low 0 has no logarithm"),
        (lambda: Integer(0.5, 2), "low is 0.5; allowed: integers"),  # type: ignore[arg-type]
        (lambda: Integer(1, 2, log="yes"), "log is 'yes'"),  # type: ignore[arg-type]
        (lambda: Float("1e-3", 1), "YAML reads 1e-3 as text: write 1.0e-3"),  # type: ignore[arg-type]
        (lambda: Float(2, 2), r"for a constant use Choice\(2.0\)"),
        (lambda: Float(0, math.inf), "not finite"),
        (lambda: Float(0, 1, log=True), "raise low above 0"),
        (lambda: Float(0, 1, levels=1), "levels is 1; allowed: integers from 2 to 1000"),
        (lambda: Float(0, 1, levels=2.0), "levels is 2.0"),  # type: ignore[arg-type]
        (lambda: Float(1.0, 1.0000000000000002, levels=3), "there are no 3 floats"),
        (Choice, "at least one"),
        (lambda: Choice(1, a=Block()), "either constants"),
        (lambda: Choice(3, 5, 3), "3 stands twice"),
        (lambda: Choice(math.nan), "no finite number"),
        (lambda: Choice((1, 2)), "is a tuple; allowed"),  # type: ignore[arg-type]
        (lambda: Choice(a=3), "branch 'a' is 3"),  # type: ignore[arg-type]
        (lambda: Repeat(Choice(1), 2, 1), "low 2, high 1"),
        (lambda: Repeat(Choice(1), 0, 0), "high >= 1"),
        (lambda: Repeat(Block(), 1, 2), "the item is an empty Block"),
        (lambda: Repeat(3, 1, 2), r"the item is 3.*Choice\(3\)"),  # type: ignore[arg-type]
        (lambda: Block(type=Choice(1)), "'type' cannot name a decision"),
        (lambda: Block(count=Choice(1)), "'count' cannot name a decision"),
        (lambda: Block(**{"a.b": Choice(1)}), "'a.b' cannot name a decision"),
        (lambda: Block(a=3), r"`a` is 3, which is no node; .*Choice\(3\)"),  # type: ignore[arg-type]
        (SearchSpace, "nothing to decide"),
    ],
)
def test_ill_formed_definitions_say_where_and_what_to_do(make: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        make()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": {"integr": {}}}, r"`space.a`: unknown node `integr`; did you mean `integer`\?"),
        ({"a": 3}, r"`space.a` is 3; allowed: a mapping"),
        ({"a": {"integer": {"low": 1, "high": 2}, "log": True}}, r"`space.a` has the keys"),
        ({"a": {"integer": {"low": 1}}}, r"`space.a`: `high` is missing"),
        ({"a": {"float": {"low": 1, "hgih": 2}}}, r"`space.a`: unknown key `hgih`; did you mean"),
        ({"a": {"choice": 3}}, r"`space.a` is 3; allowed: a list of constants or"),
        ({"a": {"choice": {"b": {"c": {}}}}}, r"`space.a.b.c` has the keys \[\]"),
        (
            {"a": {"repeat": {"item": {"integer": {"low": 2, "high": 1}}, "low": 1, "high": 2}}},
            r"`space.a.\*`: Integer\(.*swap them",
        ),
        ({"type": {"choice": [1]}}, r"`space`: Block: 'type' cannot name"),
        ([1], r"`space` is \[1\]"),
        ({1: {"choice": [1]}}, r"with text for keys"),
    ],
)
def test_reading_names_the_place(data: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        SearchSpace.from_json(data)


def test_reads_what_people_write() -> None:
    written = {
        "width": {"integer": {"low": 8, "high": 64, "step": 8}},
        "act": {"choice": ["relu", "gelu"]},
        "lr": {"float": {"low": 0.0001, "high": 0.1, "log": True}},
        "stages": {
            "repeat": {
                "item": {"block": {"width": {"integer": {"low": 1, "high": 4}}}},
                "low": 1,
                "high": 3,
            }
        },
        "block": {"choice": {"plain": {}, "residual": {"kernel": {"choice": [3, 5]}}}},
    }
    assert SearchSpace.from_json(written) == SPACE


def test_differences_are_readable() -> None:
    other = SearchSpace(
        width=Integer(1, 9),
        act=Choice("relu", "silu"),
        lr=Choice(0.1),
        stages=Repeat(Block(width=Integer(1, 4), depth=Choice(1, 2)), 1, 2),
        block=Choice(residual=Block(kernel=Choice(3, 7))),
        pool=Choice("max"),
    )
    assert SPACE.differences(SPACE) == []
    assert SPACE.differences(other) == [
        "`act`: one of 'relu', 'gelu' became one of 'relu', 'silu'",
        "`block`: a branch of type plain, residual became a branch of type residual",
        "`block.residual.kernel`: one of 3, 5 became one of 3, 7",
        "`lr`: a float from 0.0001 to 0.1, on a logarithmic scale became one of 0.1",
        "`pool` was added",
        "`stages`: a list of 1 to 3 items became a list of 1 to 2 items",
        "`stages.*.depth` was added",
        "`width`: an integer from 8 to 64 in steps of 8 became an integer from 1 to 9",
    ]
    assert "`pool` was removed" in other.differences(SPACE)


def test_size_counts_architectures_however_many() -> None:
    finite = SearchSpace(
        act=Choice("relu", "gelu"),
        stages=Repeat(Block(width=Integer(1, 4)), 0, 3),
        block=Choice(plain=Block(), residual=Block(kernel=Choice(3, 5))),
    )
    assert finite.size == 2 * (1 + 4 + 16 + 64) * 3
    assert SPACE.size == math.inf
    huge = SearchSpace(cells=Repeat(Integer(1, 10**9), 0, 100), lr=Choice(0.1))
    assert huge.size == sum((10**9) ** n for n in range(101))
    assert len({next(huge.enumerate()).key for _ in range(3)}) == 1
    with pytest.raises(SpaceError, match="no end"):
        SPACE.enumerate()


def test_levels_are_what_one_would_write_by_hand() -> None:
    assert list(Float(0.0, 0.4, levels=5).enumerate()) == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert list(Float(-0.3, 0.1, levels=5).enumerate()) == [-0.3, -0.2, -0.1, 0.0, 0.1]
    rates = Float(1e-3, 1e-1, log=True, levels=5)
    assert list(rates.enumerate()) == pytest.approx([1e-3, 10**-2.5, 1e-2, 10**-1.5, 1e-1])
    assert list(rates.enumerate())[2] == 0.01
    drawn = Counter(rates.sample(np.random.default_rng(n)) for n in range(500))
    assert set(drawn) == set(rates.enumerate())
    assert min(drawn.values()) > 70


def test_what_is_between_two_levels_is_refused_with_the_nearest() -> None:
    space = SearchSpace(lr=Float(1e-3, 1e-1, log=True, levels=3))
    message = r"`lr` is 0.02; allowed: one of 3 levels from 0.001 to 0.1, .* \(nearest: 0.01\)"
    with pytest.raises(SpaceError, match=message):
        space.validate(Architecture({"lr": 0.02}))
    assert SearchSpace.from_json({"lr": {"float": {"low": 1, "high": 2, "levels": 2}}}).size == 2
