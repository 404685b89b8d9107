"""By how much constraints are missed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylon.errors import ConfigurationError, EvaluationError
from phylon.search.constraint import Constraint, total_violation

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite, finite)
def test_a_bound_is_either_kept_to_or_missed_by_a_finite_amount(bound: float, value: float) -> None:
    upper, lower = Constraint("m", at_most=bound), Constraint("m", at_least=bound)
    assert (upper.violation({"m": value}) == 0) >= (value <= bound)
    assert (lower.violation({"m": value}) == 0) >= (value >= bound)
    assert 0 <= total_violation([upper, lower], {"m": value}) < math.inf


@given(finite, st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_missing_by_more_is_never_less(bound: float, a: float, b: float) -> None:
    low, high = sorted([a, b])
    upper, lower = Constraint("m", at_most=bound), Constraint("m", at_least=bound)
    assert upper.violation({"m": low}) <= upper.violation({"m": high})
    assert lower.violation({"m": low}) >= lower.violation({"m": high})


def test_constraints_of_other_sizes_count_alike() -> None:
    both = [Constraint("params", at_most=1e6), Constraint("accuracy", at_least=0.8)]
    assert total_violation(both, {"params": 1.5e6, "accuracy": 0.4}) == pytest.approx(0.5 + 0.5)
    assert total_violation(both, {"params": 1e6, "accuracy": 0.8}) == 0
    assert Constraint("gap", at_most=0).violation({"gap": 3.0}) == 3


@pytest.mark.parametrize(
    ("bounds", "words"), [({}, "neither"), ({"at_most": 1, "at_least": 1}, "both")]
)
def test_exactly_one_bound_is_needed(bounds: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"`params` by {words} .*give one of them"):
        Constraint("params", **bounds)


@pytest.mark.parametrize("bound", [math.nan, math.inf])
def test_a_bound_is_a_finite_number(bound: float) -> None:
    with pytest.raises(ConfigurationError, match="finite"):
        Constraint("params", at_most=bound)


def test_what_was_not_measured_keeps_to_nothing() -> None:
    with pytest.raises(EvaluationError, match=r"`params` was not reported; .* reported: a, b"):
        Constraint("params", at_most=1).violation({"b": 1.0, "a": 1.0})
    with pytest.raises(EvaluationError, match=r"is nan, not a finite number"):
        Constraint("params", at_most=1).violation({"params": math.nan})
