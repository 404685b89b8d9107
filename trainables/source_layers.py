"""How parts of a network are written in Python: layers of torch, values, and long expressions."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Iterable
from types import EllipsisType, NoneType
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from phylon.search.errors import ConfigurationError
from phylon.trainables.source_trace import CURE

WIDTH = 96
_MISSING = object()
_PLAIN = (bool, int, float, str, tuple, type(None))
_NOT_KEPT = ("self", "device", "dtype")


@final
class Code(NamedTuple):
    """An expression: what it opens with, its parts, and what it closes with."""

    head: str
    parts: tuple[tuple[str, Code], ...] = ()
    tail: str = ""

    def __str__(self) -> str:
        return self.head + ", ".join(f"{name}{code}" for name, code in self.parts) + self.tail

    def laid_out(self, indent: int, before: int = 0) -> str:
        """Return it in lines of at most 96 characters if it can be broken up.

        Args:
            indent: How deep the statement stands.
            before: Characters of the first line that are before it.
        """
        line = str(self)
        if not self.parts or indent + before + len(line) <= WIDTH:
            return line
        deeper = " " * (indent + 4)
        lines = [
            f"{deeper}{name}{code.laid_out(indent + 4, len(name) + 1)},"
            for name, code in self.parts
        ]
        return "\n".join([self.head, *lines, " " * indent + self.tail])


def listed(function: str, items: list[Code], opening: str = "", closing: str = "") -> Code:
    """Return the call of a function with a list of items; equal ones are not repeated."""
    texts = {str(item) for item in items}
    if len(items) > 1 and len(texts) == 1:
        body = f"{items[0]} for _ in range({len(items)})"
        spread = f"[{body}]" if opening else f"*[{body}]"
        return Code(f"{function}({spread})")
    return Code(f"{function}({opening}", tuple(("", item) for item in items), f"{closing})")


def mapped(function: str, items: Iterable[tuple[str, Code]]) -> Code:
    """Return the call of a function with a dictionary."""
    return Code(f"{function}({{", tuple((f"{literal(name)}: ", item) for name, item in items), "})")


def layer(module: nn.Module, name: str) -> Code:
    """Return what makes a layer of ``torch.nn`` like this one, but for its weights.

    Raises:
        ConfigurationError: What it was made with cannot be told from it.
    """
    kind = type(module)
    given = _arguments(module)
    try:
        if getattr(nn, kind.__name__, None) is not kind:
            raise ValueError("it is not of torch.nn")
        if not _alike(module, kind(**given)):
            raise ValueError("it was changed after it was made")
        parts = [(f"{key}=", Code(literal(value))) for key, value in given.items()]
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigurationError(
            f"the layer `{name}` ({kind.__module__}.{kind.__qualname__}) cannot be written as "
            f"source: {error}; {CURE}"
        ) from error
    return Code(f"nn.{kind.__name__}(", _positional(kind, parts), ")")


def literal(value: object) -> str:
    """Return plain data and torch's own constants as Python writes them.

    Raises:
        ValueError: The value is of another type.
    """
    for kinds, write in _LITERALS:
        if isinstance(value, kinds):
            return write(value)
    raise ValueError(f"a value of type {type(value).__name__} has no literal")


def empty(tensor: Tensor) -> str:
    """Return what makes a tensor of this shape and type, to be filled with weights."""
    kind = "" if tensor.dtype == torch.float32 else f", dtype={tensor.dtype}"
    return f"torch.zeros({literal(tuple(tensor.shape))}{kind})"


def _arguments(module: nn.Module) -> dict[str, Any]:
    """Return what a layer must have been made with, as far as it differs from the defaults."""
    recurrent = isinstance(module, nn.RNNBase)
    made_by = nn.RNNBase.__init__ if recurrent else type(module).__init__
    given = {}
    for name, parameter in inspect.signature(made_by).parameters.items():
        value = _kept(module, name)
        if name in _NOT_KEPT or (recurrent and name == "mode") or value is _MISSING:
            continue
        default = parameter.default
        if isinstance(value, Tensor) or type(value) is not type(default) or value != default:
            given[name] = value
    return given


def _kept(module: nn.Module, name: str) -> Any:  # noqa: ANN401
    """Return the value of a constructor's argument; `_MISSING` if it is not kept."""
    value = getattr(module, name, _MISSING)
    if name == "bias" and not isinstance(value, bool):
        attention = isinstance(module, nn.MultiheadAttention)
        return (module.in_proj_bias if attention else value) is not None
    if isinstance(module, _ConvNd) and isinstance(value, tuple) and len(set(value)) == 1:
        return value[0]
    return value


def _positional(
    kind: type[nn.Module], parts: list[tuple[str, Code]]
) -> tuple[tuple[str, Code], ...]:
    """Drop the names of the arguments that have no default and come first."""
    names = list(inspect.signature(kind.__init__).parameters.values())[1:]
    free = 0
    for (name, _), parameter in zip(parts, names, strict=False):
        if name != f"{parameter.name}=" or parameter.default is not inspect.Parameter.empty:
            break
        free += 1
    return (*(("", code) for _, code in parts[:free]), *parts[free:])


def _alike(module: nn.Module, other: nn.Module) -> bool:
    """Whether two layers differ in nothing but their weights."""
    shapes = [{k: v.shape for k, v in each.state_dict().items()} for each in (module, other)]
    plain = {k: v for k, v in vars(other).items() if isinstance(v, _PLAIN) and k != "training"}
    return shapes[0] == shapes[1] and all(
        vars(module).get(name, _MISSING) == value for name, value in plain.items()
    )


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else f'float("{value}")'


_LITERALS: tuple[tuple[tuple[type, ...], Callable[[Any], str]], ...] = (
    ((str,), lambda text: json.dumps(text, ensure_ascii=False)),
    ((float,), _number),
    ((bool, int, NoneType), repr),
    ((EllipsisType,), lambda _: "..."),
    ((torch.dtype, torch.memory_format, torch.layout), str),
    ((torch.device,), lambda device: f'torch.device("{device}")'),
    ((Tensor,), empty),
    ((list,), lambda items: f"[{', '.join(map(literal, items))}]"),
    ((tuple,), lambda items: f"({', '.join(map(literal, items))}{',' * (len(items) == 1)})"),
)
