# ruff: noqa: D102 - the contract of the methods is told once, on Node
"""`Choice`: the node on whose options other decisions can hang."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from phylon.search.architecture import Path, Scalar
from phylon.search.blocks import Block
from phylon.search.errors import SpaceError
from phylon.search.node import Node, Site, refuse, whole


@final
@dataclass(frozen=True, init=False)
class Choice(Node[Any]):
    """One of several constants, or of several branches that decide more.

    ``Choice(3, 5)`` or ``Choice(plain=Block(), residual=Block(...))``. The value is the
    constant; or a dict that holds the branch's name as ``type`` and the decisions of that branch
    alone. The order of branches does not matter.

    Attributes:
        options: The constants, or the names of the branches.
        blocks: What each option decides besides; nothing for constants.
        branching: Whether the options are branches.

    Raises:
        SpaceError: There is no option, there are equal ones, or one is neither scalar nor `Block`.
    """

    options: tuple[Scalar, ...]
    blocks: tuple[Block, ...]
    branching: bool

    def __init__(self, *constants: Scalar, **branches: Block) -> None:
        if bool(constants) == bool(branches):
            raise SpaceError(
                "Choice: give either constants, Choice(3, 5), or branches, "
                "Choice(plain=Block(...), ...), at least one"
            )
        for constant in constants:
            _check_constant(constant, constants)
        for name, block in branches.items():
            if not name.isidentifier() or not isinstance(block, Block):
                raise SpaceError(
                    f"Choice: branch {name!r} is {block!r}; allowed: an identifier and a Block"
                )
        names = tuple(sorted(branches))
        object.__setattr__(self, "options", constants or names)
        blocks = [branches[name] for name in names] or [Block()] * len(constants)
        object.__setattr__(self, "blocks", tuple(blocks))
        object.__setattr__(self, "branching", bool(branches))

    @property
    def children(self) -> Mapping[str, Node[Any]]:
        if not self.branching:
            return {}
        return {str(name): block for name, block in zip(self.options, self.blocks, strict=True)}

    @property
    def width(self) -> int:
        return 1 + sum(block.width for block in self.blocks)

    @property
    def size(self) -> float:
        return sum(block.size for block in self.blocks)

    def draw(self, index: int, rng: np.random.Generator) -> Any:  # noqa: ANN401 - scalar or dict
        """Draw a value that takes the option at `index`."""
        return self._value(index, self.blocks[index].sample(rng))

    def sample(self, rng: np.random.Generator) -> Any:  # noqa: ANN401
        return self.draw(int(rng.integers(len(self.options))), rng)

    def enumerate(self) -> Iterator[Any]:
        for index, block in enumerate(self.blocks):
            for inner in block.enumerate():
                yield self._value(index, inner)

    def index(self, value: object) -> int | None:
        """Return which option an allowed value takes; None if it takes none."""
        label = value
        if self.branching:
            label = value.get("type") if isinstance(value, dict) else None
        for index, option in enumerate(self.options):
            if type(option) is type(label) and option == label:
                return index
        return None

    def check(self, value: object, path: Path) -> None:
        index = self.index(value)
        if index is None:
            refuse(path, value, self)
        if isinstance(value, dict):
            inner = {name: child for name, child in value.items() if name != "type"}
            self.blocks[index].check(inner, path)

    def encode(self, value: Any) -> list[float]:  # noqa: ANN401
        taken = self.index(value)
        numbers = [math.nan if taken is None else float(taken)]
        for index, block in enumerate(self.blocks):
            numbers += block.encode(value) if index == taken else [math.nan] * block.width
        return numbers

    def decode(self, numbers: Sequence[float]) -> Any:  # noqa: ANN401
        taken = whole(numbers[0], f"the index of {self}")
        if not 0 <= taken < len(self.options):
            raise SpaceError(f"the vector holds index {taken} for {self}; count from 0")
        start = 1 + sum(block.width for block in self.blocks[:taken])
        block = self.blocks[taken]
        return self._value(taken, block.decode(numbers[start : start + block.width]))

    def sites(self, value: Any, path: Path) -> Iterator[Site]:  # noqa: ANN401
        if len(self.options) > 1:
            yield Site(path, self, value)
        index = self.index(value)
        if index is not None:
            yield from self.blocks[index].sites(value, path)

    def canonical(self, value: Any) -> object:  # noqa: ANN401
        if not self.branching:
            return value
        return [value["type"], self.blocks[self.index(value) or 0].canonical(value)]

    def to_json(self) -> object:
        if not self.branching:
            return {"choice": list(self.options)}
        blocks = [block.decisions_json() for block in self.blocks]
        return {"choice": dict(zip(map(str, self.options), blocks, strict=True))}

    def _value(self, index: int, inner: dict[str, Any]) -> Any:  # noqa: ANN401
        option = self.options[index]
        return {"type": option, **inner} if self.branching else option

    def __repr__(self) -> str:
        branches = [f"{name}={block!r}" for name, block in self.children.items()]
        return f"Choice({', '.join(branches or map(repr, self.options))})"

    def __str__(self) -> str:
        if self.branching:
            return f"a branch of type {', '.join(map(str, self.options))}"
        return f"one of {', '.join(map(repr, self.options))}"


def _check_constant(constant: object, constants: Sequence[object]) -> None:
    if not (constant is None or isinstance(constant, str | int | float)):
        raise SpaceError(
            f"Choice: {constant!r} is a {type(constant).__name__}; allowed: strings, numbers, "
            "booleans, None; options that decide more are branches, Choice(name=Block(...))"
        )
    if isinstance(constant, float) and not math.isfinite(constant):
        raise SpaceError(f"Choice: {constant} is no finite number, and JSON has no word for it")
    if constants.count(constant) > 1:
        raise SpaceError(f"Choice: {constant!r} stands twice in {constants!r}; drop one")
