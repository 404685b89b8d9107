# ruff: noqa: D102 - the contract of the methods is told once, on Node
"""Numeric decisions, `Integer` and `Float`, and the unit scale on which their steps are alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal, localcontext
from functools import cached_property
from typing import final

import numpy as np

from phylon.search.architecture import Path
from phylon.search.errors import SpaceError
from phylon.search.node import Node, Site, refuse, whole

_EXACT = 2**53  # integers beyond this are not exact in a float64 vector
_MOST_LEVELS = 1000
_DIGITS = 28


@final
@dataclass(frozen=True)
class Integer(Node[int]):
    """An integer from `low` to `high`, both included, in steps of `step`.

    With `log`, values are drawn and moved on a logarithmic scale.

    Raises:
        SpaceError: The range is empty, is not a multiple of `step`, or has no logarithm.
    """

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            number = getattr(self, name)
            if type(number) is not int or abs(number) > _EXACT:
                raise SpaceError(f"{self!r}: {name} is {number!r}; allowed: integers up to 2**53")
        if self.low > self.high:
            raise SpaceError(f"{self!r}: low {self.low} is above high {self.high}; swap them")
        if self.step < 1:
            raise SpaceError(f"{self!r}: step is {self.step}; allowed: 1 or more")
        if rest := (self.high - self.low) % self.step:
            nearest = f"{self.high - rest} or {self.high - rest + self.step}"
            raise SpaceError(f"{self!r}: steps from low never meet high; let high be {nearest}")
        _check_scale(self)

    @property
    def width(self) -> int:
        return 1

    @property
    def size(self) -> int:
        return (self.high - self.low) // self.step + 1

    def sample(self, rng: np.random.Generator) -> int:
        if not self.log:
            return self.low + self.step * int(rng.integers(self.size))
        low = math.log(self.low - min(self.step, self.low) / 2)  # each end gets its whole share
        high = math.log(self.high + self.step / 2)
        return self._nearest(math.exp(low + (high - low) * rng.random()))

    def enumerate(self) -> Iterator[int]:
        return iter(range(self.low, self.high + 1, self.step))

    def check(self, value: object, path: Path) -> None:
        if type(value) is not int:
            refuse(path, value, self)
        if not self.low <= value <= self.high or (value - self.low) % self.step:
            refuse(path, value, self, f" (nearest: {self._nearest(value)})")

    def encode(self, value: int) -> list[float]:
        return [float(value)]

    def decode(self, numbers: Sequence[float]) -> int:
        return whole(numbers[0], str(self))

    def sites(self, value: int, path: Path) -> Iterator[Site]:
        if self.low < self.high:
            yield Site(path, self, value)

    def to_json(self) -> object:
        return {"integer": asdict(self)}

    def unit(self, value: int) -> float:
        """Return where in [0, 1] a value stands between `low` and `high`, which must differ."""
        return _unit(self, value)

    def at(self, unit: float) -> int:
        """Return the allowed value nearest to a place in [0, 1]; beyond is clipped."""
        return self._nearest(_number(self, min(max(unit, 0.0), 1.0)))

    def beside(self, value: int, *, up: bool) -> int:
        """Return the next value up or down; the other way at the end of the range."""
        above, below = value + self.step, value - self.step
        return above if (up and above <= self.high) or below < self.low else below

    def _nearest(self, number: float) -> int:
        steps = round((min(max(number, self.low), self.high) - self.low) / self.step)
        return self.low + self.step * steps

    def __str__(self) -> str:
        steps = f" in steps of {self.step}" if self.step > 1 else ""
        return f"an integer from {self.low} to {self.high}{steps}{_scale(self)}"


@final
@dataclass(frozen=True)
class Float(Node[float]):
    """A float from `low` to `high`, both included; with `log`, on a logarithmic scale.

    With `levels`, one of so many values, evenly spaced on that scale from `low` to `high`. They
    are reckoned in decimals, so that of 5 levels from 0 to 0.4 the fourth is 0.3.

    Raises:
        SpaceError: The range is empty, infinite, or has no logarithm, or there are no such levels.
    """

    low: float
    high: float
    log: bool = False
    levels: int | None = None

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, int | float):
                hint = " (YAML reads 1e-3 as text: write 1.0e-3)" if isinstance(number, str) else ""
                raise SpaceError(f"{self!r}: {name} is {number!r}; a number is needed{hint}")
            object.__setattr__(self, name, float(number) + 0.0)
        if not math.isfinite(self.high - self.low):
            raise SpaceError(f"{self!r}: the range is not finite; use smaller bounds")
        if self.low >= self.high:
            raise SpaceError(
                f"{self!r}: low {self.low} is not below high {self.high}; "
                f"for a constant use Choice({self.low})"
            )
        _check_scale(self)
        if self.levels is not None:
            self._check_levels(self.levels)

    def _check_levels(self, levels: object) -> None:
        if type(levels) is not int or not 2 <= levels <= _MOST_LEVELS:
            raise SpaceError(
                f"{self!r}: levels is {levels!r}; allowed: integers from 2 to {_MOST_LEVELS}"
            )
        if len(set(self._grid)) < levels:
            raise SpaceError(f"{self!r}: there are no {levels} floats in the range; use fewer")

    @cached_property
    def _grid(self) -> tuple[float, ...]:
        """The levels in order; empty if every float of the range is allowed."""
        if self.levels is None:
            return ()
        last = self.levels - 1
        with localcontext(prec=_DIGITS):
            low, high = Decimal(repr(self.low)), Decimal(repr(self.high))
            if self.log:
                low, high = low.ln(), high.ln()
            places = [low + (high - low) * index / last for index in range(1, last)]
            inner = [float(place.exp() if self.log else place) + 0.0 for place in places]
        return (self.low, *(min(max(each, self.low), self.high) for each in inner), self.high)

    @property
    def width(self) -> int:
        return 1

    @property
    def size(self) -> float:
        return self.levels or math.inf

    def sample(self, rng: np.random.Generator) -> float:
        if self._grid:
            return self._grid[int(rng.integers(len(self._grid)))]
        return self.at(rng.random())

    def enumerate(self) -> Iterator[float]:
        if not self._grid:
            raise SpaceError(f"{self} cannot be enumerated")
        return iter(self._grid)

    def check(self, value: object, path: Path) -> None:
        if type(value) is not float:
            cure = f" (write {float(value)})" if type(value) is int else ""
            refuse(path, value, self, cure)
        if not self.low <= value <= self.high:
            refuse(path, value, self)
        if self._grid and value not in self._grid:
            refuse(path, value, self, f" (nearest: {self.nearest(value)})")

    def encode(self, value: float) -> list[float]:
        return [value]

    def decode(self, numbers: Sequence[float]) -> float:
        return float(numbers[0])

    def sites(self, value: float, path: Path) -> Iterator[Site]:
        yield Site(path, self, value)

    def to_json(self) -> object:
        fields = asdict(self)
        return {"float": {name: fields[name] for name in fields if fields[name] is not None}}

    def unit(self, value: float) -> float:
        """Return where in [0, 1] a value stands between `low` and `high`."""
        if self._grid:
            return self._grid.index(value) / (len(self._grid) - 1)
        return _unit(self, value)

    def at(self, unit: float) -> float:
        """Return the allowed value nearest to a place in [0, 1]; beyond is clipped."""
        if not 0 < unit < 1:
            return self.low if unit <= 0 else self.high
        if self._grid:
            return self._grid[round(unit * (len(self._grid) - 1))]
        return min(max(_number(self, unit), self.low), self.high)

    def nearest(self, number: float) -> float:
        """Return the allowed value nearest to a number; beyond the range is clipped."""
        clipped = min(max(number, self.low), self.high) + 0.0
        return self.at(_unit(self, clipped)) if self._grid else clipped

    def beside(self, value: float, *, up: bool) -> float:
        """Return the next value up or down; the other way at the end of the range."""
        up = (up and value < self.high) or value <= self.low
        if self._grid:
            return self._grid[self._grid.index(value) + (1 if up else -1)]
        return math.nextafter(value, self.high if up else self.low) + 0.0

    def __str__(self) -> str:
        levels = f"one of {self.levels} levels" if self.levels else "a float"
        return f"{levels} from {self.low!r} to {self.high!r}{_scale(self)}"


def _check_scale(node: Integer | Float) -> None:
    if type(node.log) is not bool:
        raise SpaceError(f"{node!r}: log is {node.log!r}; allowed: true, false")
    if node.log and node.low <= 0:
        raise SpaceError(
            f"{node!r}: low {node.low} has no logarithm; raise low above 0 or drop log"
        )


def _unit(node: Integer | Float, value: float) -> float:
    if node.log:
        low = math.log(node.low)
        return (math.log(value) - low) / (math.log(node.high) - low)
    return (value - node.low) / (node.high - node.low)


def _number(node: Integer | Float, unit: float) -> float:
    if node.log:
        low = math.log(node.low)
        return math.exp(low + unit * (math.log(node.high) - low))
    return node.low + unit * (node.high - node.low)


def _scale(node: Integer | Float) -> str:
    return ", on a logarithmic scale" if node.log else ""
