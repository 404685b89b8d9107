"""Checks of the numbers that users give to strategies."""

from __future__ import annotations

import math

from phylon.search.errors import ConfigurationError


def check_integer(name: str, value: object, low: int, high: int | None = None) -> None:
    """Refuse what is no integer from `low` to `high`.

    Raises:
        ConfigurationError: It is none; the message names the key ``strategy.<name>``.
    """
    if type(value) is not int or value < low or (high is not None and value > high):
        up = "up" if high is None else f"to {high}"
        raise ConfigurationError(f"strategy.{name} is {value!r}; allowed: integers from {low} {up}")


def check_number(name: str, value: object, low: float, high: float = math.inf) -> None:
    """Refuse what is no finite number from `low` to `high`; raises as `check_integer`."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or math.isinf(value)
        or not low <= value <= high
    ):
        up = "up" if high == math.inf else f"to {high:g}"
        raise ConfigurationError(
            f"strategy.{name} is {value!r}; allowed: numbers from {low:g} {up}"
        )


def check_sample(sample: object, population: int) -> None:
    """Refuse a tournament of a size that is no integer from 1 to `population`, which is one.

    Raises:
        ConfigurationError: The message names the key ``strategy.sample``.
    """
    check_integer("sample", sample, 1)
    if isinstance(sample, int) and sample > population:
        raise ConfigurationError(
            f"strategy.sample is {sample}; allowed: integers from 1 to strategy.population "
            f"({population})"
        )


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither true nor false; raises as `check_integer`."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"strategy.{name} is {value!r}; allowed: true, false")
