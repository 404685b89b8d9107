"""The tree of decisions as parameters of Optuna, which are numbers with names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from phylon.search.architecture import Path, dotted
from phylon.search.node import Node
from phylon.search.nodes import Block, Choice, Float, Graph, Integer, Repeat

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

Decide: TypeAlias = Callable[[Path, Node[Any]], float]
"""Returns the number of a decision, as `distribution` has it."""
_MOST_INTEGERS = 1000


def distribution(node: Node[Any]) -> BaseDistribution:
    """Return the numbers that a decision is for Optuna."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match node:
        case Choice():
            return CategoricalDistribution(range(len(node.options)))
        case Repeat():
            return IntDistribution(node.low, node.high)
        case Integer() if _is_plain(node):
            return IntDistribution(node.low, node.high, log=node.log, step=node.step)
        case Float() if node.levels:
            return IntDistribution(0, node.levels - 1)
        case _:
            return FloatDistribution(0.0, 1.0)


def _is_plain(node: Integer) -> bool:
    """Whether Optuna can take an integer for what it is: it takes the values one by one."""
    return node.size <= _MOST_INTEGERS and (node.step == 1 or not node.log)


def suggestion(trial: optuna.Trial, path: Path, node: Node[Any]) -> float:
    """Return the number that Optuna suggests for a decision."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    name, numbers = dotted(path), distribution(node)
    if isinstance(numbers, CategoricalDistribution):
        return float(trial.suggest_categorical(name, range(len(numbers.choices))))
    if isinstance(numbers, IntDistribution):
        low, high = numbers.low, numbers.high
        return trial.suggest_int(name, low, high, step=numbers.step, log=numbers.log)
    return trial.suggest_float(name, 0.0, 1.0)


def built(node: Node[Any], path: Path, decide: Decide) -> Any:  # noqa: ANN401
    """Return a value of the node, every number in it decided in the order of the tree."""
    match node:
        case Block():
            return {name: built(child, (*path, name), decide) for name, child in node.nodes}
        case Graph():
            return built(node.block, path, decide)
        case Repeat():
            count = int(decide((*path, "count"), node))
            return [built(node.item, (*path, index), decide) for index in range(count)]
        case Choice():
            index = int(decide(path, node))
            option, block = node.options[index], node.blocks[index]
            if not node.branching:
                return option
            return {"type": option, **built(block, (*path, str(option)), decide)}
        case Integer() | Float():
            return _number(node, decide(path, node))
        case _:
            raise TypeError(f"{type(node).__name__} is unknown to Optuna; add a case here")


def _number(node: Integer | Float, number: float) -> float:
    if isinstance(node, Integer) and _is_plain(node):
        return int(number)
    top = node.levels - 1 if isinstance(node, Float) and node.levels else 1
    return node.at(number / top)


def numbers(node: Node[Any], value: Any, path: Path) -> Iterator[tuple[Path, Node[Any], float]]:  # noqa: ANN401
    """Undo `built`: yield the decisions with their numbers."""
    match node:
        case Block():
            for name, child in node.nodes:
                yield from numbers(child, value[name], (*path, name))
        case Graph():
            yield from numbers(node.block, value, path)
        case Repeat():
            yield (*path, "count"), node, len(value)
            for index, item in enumerate(value):
                yield from numbers(node.item, item, (*path, index))
        case Choice():
            index = node.index(value) or 0
            yield path, node, index
            if node.branching:
                yield from numbers(node.blocks[index], value, (*path, str(node.options[index])))
        case Integer() if _is_plain(node):
            yield path, node, value
        case Integer() | Float():
            unit = 0.0 if node.low == node.high else min(max(node.unit(value), 0.0), 1.0)
            levels = node.levels if isinstance(node, Float) else None
            yield path, node, round(unit * (levels - 1)) if levels else unit
