"""The forward of modules, written down from what happened in their calls."""

from __future__ import annotations

import keyword
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

from torch import fx, nn
from torch.overrides import resolve_name

from phylon.search.errors import ConfigurationError
from phylon.trainables.source_layers import Code, literal
from phylon.trainables.source_trace import CURE, Call, Item, name_of

Modules = Mapping[str, nn.Module]
"""All modules of a network by name."""

_NUMBERED = (nn.Sequential, nn.ModuleList, nn.ParameterList)
_NAMED = (nn.ModuleDict, nn.ParameterDict)
_TAKEN = ("self", "torch", "nn", "operator", "math", "OrderedDict")
_SIGNS: dict[Callable[..., Any], str] = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.pow: "**",
    operator.matmul: "@",
}


@final
@dataclass(frozen=True)
class Forward:
    """How a module's forward is written.

    Attributes:
        lines: The method, to stand in a class; none if nothing happens in it.
        is_chain: Whether the module is a `Sequential` that calls its parts in order.
    """

    lines: tuple[str, ...]
    is_chain: bool


def forwards(root: Call, modules: Modules) -> dict[str, Forward]:
    """Return the forward of every module that has one of its own, by its name.

    What happens in other modules is written into the forward of those that they stand in: of
    containers, of modules that use parts from elsewhere, and of modules in which not the same
    happened each time.

    Raises:
        ConfigurationError: There is no way to write an operation down.
    """
    calls = list(root.calls())
    spread = {each.path for each in calls if _uses_others(each)}
    while True:
        written: dict[str, set[Forward]] = defaultdict(set)
        for call in reversed(calls):
            if call.path not in spread:
                written[call.path].add(_Body(call, modules, spread).forward())
        unfit = {path for path, each in written.items() if len(each) > 1}
        unfit |= {
            path
            for path, each in written.items()
            if path
            and isinstance(modules[path], _NUMBERED + _NAMED)
            and not all(forward.is_chain for forward in each)
        }
        if not unfit:
            return {path: each for path, (each,) in written.items()}
        spread |= unfit


def reference(name: str, base: str, modules: Modules) -> str:
    """Return what a module or tensor is called in the class of the module `base`."""
    text, path = "self", base
    for part in name[len(base) + 1 if base else 0 :].split("."):
        inside = modules.get(path)
        if isinstance(inside, _NUMBERED) and part.isdecimal():
            text += f"[{part}]"
        elif isinstance(inside, _NAMED):
            text += f'["{part}"]'
        else:
            text += f".{part}" if part.isidentifier() else f'.get_submodule("{part}")'
        path = f"{path}.{part}" if path else part
    return text


def _uses_others(call: Call) -> bool:
    return bool(call.path) and any(not n.startswith(f"{call.path}.") for n in call.names())


@final
class _Body:
    """The statements of one call."""

    def __init__(self, call: Call, modules: Modules, spread: set[str]) -> None:
        self._call = call
        self._modules = modules
        self._items = list(_flat(call.items, spread))
        self._taken = set(_TAKEN)
        self._names: dict[fx.Node, str] = {}

    def forward(self) -> Forward:
        inputs, outputs = self._call.inputs, self._call.outputs
        for node in inputs:
            self._name(node, self._call.labels.get(node, "x"))
        lines = [line for item in self._items for line in self._statement(item)]
        if not lines:
            return Forward((), is_chain=False)
        result = ", ".join(self._names[node] for node in outputs)
        if len(outputs) == 1 and lines[-1].startswith(f"{result} = "):
            lines[-1] = f"return {lines[-1].removeprefix(f'{result} = ')}"
        elif outputs:
            lines.append(f"return {result}")
        given = ", ".join(["self", *(self._names[node] for node in inputs)])
        indented = (f"        {line}" for line in lines)
        return Forward((f"    def forward({given}):", *indented), self._is_chain())

    def _statement(self, item: Item) -> Iterator[str]:
        """Yield the line for an operation or a call, if it is one that does anything."""
        if isinstance(item, Call):
            outputs, given = item.outputs, item.inputs
            if not list(item.nodes()):
                return
            code = Code(f"{self._reference(item.path)}(", self._parts(given), ")")
            last = item.path
        else:
            if not item.users and item.target in (operator.getitem, getattr):
                return
            outputs = [item] if item.users else []
            code, last = self._operation(item), _word(item)
        names = ", ".join([self._name(node, self._short(last)) for node in outputs])
        start = f"{names} = " if names else ""
        yield start + code.laid_out(8, len(start))

    def _operation(self, node: fx.Node) -> Code:
        target, args = node.target, node.args
        try:
            if node.op == "call_module":
                return Code(f"{self._reference(name_of(node))}(", self._arguments(node), ")")
            if node.op == "call_method":
                rest = self._arguments(node)[1:]
                return Code(f"{self._atom(args[0])}.{target}(", rest, ")")
            if target is getattr and isinstance(args[1], str) and args[1].isidentifier():
                return Code(f"{self._atom(args[0])}.{args[1]}")
            if target is operator.getitem:
                return Code(f"{self._atom(args[0])}[{self._index(args[1])}]")
            if sign := _SIGNS.get(target):  # type: ignore[arg-type]
                return Code(f"{self._atom(args[0])} {sign} {self._atom(args[1])}")
            return Code(f"{_function(target)}(", self._arguments(node), ")")
        except ValueError as error:
            where = self._call.path or "the network"
            raise ConfigurationError(
                f"the forward of `{where}` cannot be written as source: {error}; {CURE}"
            ) from error

    def _arguments(self, node: fx.Node) -> tuple[tuple[str, Code], ...]:
        named = [
            (f"{name}=", Code(self._value(each)))
            for name, each in node.kwargs.items()
            if not name.startswith("_")
        ]
        return (*self._parts(node.args), *named)

    def _parts(self, values: Iterable[object]) -> tuple[tuple[str, Code], ...]:
        return tuple(("", Code(self._value(each))) for each in values)

    def _atom(self, value: object) -> str:
        text = self._value(value)
        return f"({text})" if isinstance(value, int | float) and value < 0 else text

    def _index(self, value: object) -> str:
        if isinstance(value, tuple) and value:
            return ", ".join(map(self._index, value)) + "," * (len(value) == 1)
        if isinstance(value, slice):
            bounds = ["" if b is None else self._value(b) for b in (value.start, value.stop)]
            step = "" if value.step is None else f":{self._value(value.step)}"
            return ":".join(bounds) + step
        return self._value(value)

    def _value(self, value: object) -> str:
        if isinstance(value, fx.Node):
            if value.op == "get_attr":
                return self._reference(name_of(value))
            return self._names[value]
        if isinstance(value, list):
            return f"[{', '.join(map(self._value, value))}]"
        if isinstance(value, tuple):
            return f"({', '.join(map(self._value, value))}{',' * (len(value) == 1)})"
        if isinstance(value, slice):
            return f"slice({', '.join(map(self._value, (value.start, value.stop, value.step)))})"
        return literal(value)

    def _reference(self, name: str) -> str:
        return reference(name, self._call.path, self._modules)

    def _short(self, name: str) -> str:
        """Return the end of a name that is one in Python, too."""
        parts = name.split(".")
        words = [i for i, part in enumerate(parts) if part.isidentifier()]
        return "_".join(parts[words[-1] :]) if words else f"x_{'_'.join(parts)}"

    def _name(self, node: fx.Node, wish: str) -> str:
        """Give a value a name that is free."""
        name, number = wish, 2
        while name in self._taken or keyword.iskeyword(name):
            name, number = f"{wish}_{number}", number + 1
        self._taken.add(name)
        self._names[node] = name
        return name

    def _is_chain(self) -> bool:
        """Whether each part is given what the one before it made, and all take part."""
        call = self._call
        parts = [f"{call.path}.{name}".lstrip(".") for name in call.module._modules]
        if not isinstance(call.module, nn.Sequential) or len(call.inputs) != 1:
            return False
        if len(parts) != len(self._items):
            return False
        reached = call.inputs
        for path, item in zip(parts, self._items, strict=True):
            if isinstance(item, Call):
                if item.path != path or not (item.inputs == reached or _is_nothing(item)):
                    return False
                reached = item.outputs if item.items else reached
            elif item.op == "call_module" and self._is_same(name_of(item), path):
                if [*item.args] != reached or item.kwargs:
                    return False
                reached = [item]
            else:
                return False
        return reached == call.outputs

    def _is_same(self, name: str, other: str) -> bool:
        """Whether two names are of one module, as that of an activation in several places."""
        return self._modules[name] is self._modules[other]


def _is_nothing(call: Call) -> bool:
    return not list(call.nodes()) and not call.module.state_dict()


def _flat(items: Iterable[Item], spread: set[str]) -> Iterator[Item]:
    """Yield items, and instead of the calls that are written where they happen, their items."""
    for item in items:
        if isinstance(item, Call) and item.path in spread:
            yield from _flat(item.items, spread)
        else:
            yield item


def _word(node: fx.Node) -> str:
    """Return what the result of an operation may be called."""
    if node.op == "call_module":
        return name_of(node)
    if node.target is getattr:
        return str(node.args[1])
    name = node.target if isinstance(node.target, str) else node.target.__name__
    return {"getitem": "part", "add": "total"}.get(name, name)


def _function(target: Any) -> str:  # noqa: ANN401
    name = target.__name__
    if target.__module__ in ("_operator", "math"):
        return f"{target.__module__.lstrip('_')}.{name}"
    if target.__module__ == "builtins" and target in (max, min, abs, round, sum, len, getattr):
        return str(name)
    resolved = resolve_name(target)
    if not resolved or not resolved.startswith("torch."):
        raise ValueError(f"the function {target.__module__}.{name} is not of torch")
    return str(resolved)
