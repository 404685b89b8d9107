import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from phylon.search import Architecture
from phylon.search.errors import SpaceError

NET: dict[str, Any] = {
    "lr": 0.001,
    "stages": [{"width": 16, "act": "relu"}, {"width": 32, "act": None}],
    "block": {"type": "residual", "kernel": 3},
    "bias": True,
}


def test_reads_like_the_data_it_was_made_of() -> None:
    net = Architecture(NET)
    assert net["lr"] == 0.001
    assert net["stages"][1]["width"] == 32
    assert net["stages"] == (Architecture(NET["stages"][0]), Architecture(NET["stages"][1]))
    assert dict(**net).keys() == NET.keys()
    assert net.nested == NET
    assert Architecture(net) == net
    assert Architecture({"inner": net})["inner"] == net
    match net["block"]:
        case {"type": "residual", "kernel": kernel}:
            assert kernel == 3
        case other:
            pytest.fail(f"{other} does not match")


def test_flat_view_names_every_decision() -> None:
    assert Architecture(NET).flat == {
        "bias": True,
        "block.type": "residual",
        "block.kernel": 3,
        "lr": 0.001,
        "stages.count": 2,
        "stages.0.act": "relu",
        "stages.0.width": 16,
        "stages.1.act": None,
        "stages.1.width": 32,
    }
    assert Architecture({"empty": [], "grid": [[1, 2], []]}).flat == {
        "empty.count": 0,
        "grid.count": 2,
        "grid.0.count": 2,
        "grid.0.0": 1,
        "grid.0.1": 2,
        "grid.1.count": 0,
    }


def test_is_a_value() -> None:
    net, same = Architecture(NET), Architecture(dict(reversed(NET.items())))
    assert net == same
    assert hash(net) == hash(same)
    assert net.key == same.key
    assert eval(repr(net)) == net  # noqa: S307
    assert pickle.loads(pickle.dumps(net)) == net  # noqa: S301
    net.nested["stages"].clear()  # a copy
    assert net == same
    with pytest.raises(TypeError):
        net["lr"] = 1  # type: ignore[index]


def test_numbers_that_python_calls_equal_are_different_decisions() -> None:
    nets = [Architecture({"x": value}) for value in (1, 1.0, True, "1", None)]
    assert len({net.key for net in nets}) == len(set(nets)) == 5
    assert Architecture({"x": -0.0}) == Architecture({"x": 0.0})


def test_key_is_the_same_in_every_process_and_version() -> None:
    code = f"from phylon.search import Architecture; print(Architecture({NET!r}).key)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert child.stdout.strip() == Architecture(NET).key == "52b760f48833b941"


def test_is_brief_in_words() -> None:
    assert str(Architecture({**NET, "pool": {"type": "max"}, "lr": 0.00123456})) == (
        "bias=True block=residual(kernel=3) lr=0.001235 pool=max "
        "stages=[(act=relu, width=16), (act=None, width=32)]"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": {"b": float("nan")}}, r"`a.b` is nan \(float\)"),
        ({"a": [1, {2}]}, r"`a.1` is \{2\} \(set\)"),
        ({"a": np.int64(3)}, r"`a` is .*int64"),
        ({"a": {}}, r"`a` is \{\} .*not empty"),
        ({"count": 3}, r"`count`: 'count' cannot name a decision"),
        ({"a": {"b c": 3}}, r"`a.b c`: 'b c' cannot name a decision"),
        ({1: 3}, r"1 cannot name a decision"),
        ([1, 2], r"made of named decisions, not \[1, 2\]"),
    ],
)
def test_says_what_cannot_be_held(data: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Architecture(data)


@pytest.mark.parametrize(
    ("flat", "message"),
    [
        ({"a": 1, "a.b": 2}, "`a.b` lies below `a`, which is a value"),
        ({"a.b": 1, "a": 2}, "`a` is both a value and a block"),
        ({"a.count": 2, "a.0": 1}, "`a.count` is 2 but the items given are 0"),
        ({"a.count": 1, "a.1": 1}, "`a.count` is 1 but the items given are 1"),
        ({"a.0": 1}, "`a.0`: '0' cannot name a decision"),
    ],
)
def test_says_which_flat_decisions_contradict(flat: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Architecture.from_flat(flat)
