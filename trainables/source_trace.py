"""What a network computes: its operations in order, and which module each belongs to."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias, final

from torch import Tensor, fx, nn

from phylon.search.errors import ConfigurationError

_ROOT = "network"
CURE = "export it with --format torch, which takes more kinds of networks"

Item: TypeAlias = "fx.Node | Call"


@final
@dataclass(eq=False)
class Call:
    """A call of a module whose forward is followed: what happened in it, in order.

    Attributes:
        path: The module's name in the network; empty for the network itself.
        module: The module.
        labels: What its forward calls the tensors that it is given.
        items: Its own operations, and its calls of other modules.
    """

    path: str
    module: nn.Module
    labels: dict[fx.Node, str] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)

    def nodes(self) -> Iterator[fx.Node]:
        """Yield all operations, those of inner calls too; reading a parameter is none."""
        for item in self.items:
            yield from item.nodes() if isinstance(item, Call) else [item]

    def calls(self) -> Iterator[Call]:
        """Yield this call and all inner ones."""
        yield self
        for item in self.items:
            if isinstance(item, Call):
                yield from item.calls()

    def names(self) -> Iterator[str]:
        """Yield the names of all modules and tensors of the network that are used."""
        for node in self.nodes():
            yield from (name_of(each) for each in node.all_input_nodes if each.op == "get_attr")
            if node.op == "call_module":
                yield name_of(node)

    @property
    def inputs(self) -> list[fx.Node]:
        """What was made before and is used, as it was given, then as it is used."""
        own = set(self.nodes())
        used = [each for node in self.nodes() for each in node.all_input_nodes]
        ordered = [each for each in self.labels if each in used] + used
        return list(dict.fromkeys(n for n in ordered if n not in own and n.op != "get_attr"))

    @property
    def outputs(self) -> list[fx.Node]:
        """What is used later, in the order in which it was made."""
        own = set(self.nodes())
        return [node for node in self.nodes() if not own.issuperset(node.users)]


def trace(network: nn.Module) -> Call:
    """Follow a network of one tensor to one tensor, as it is in evaluation mode.

    Raises:
        ConfigurationError: Its forward cannot be followed: it depends on values or shapes of the
            input, is missing, takes or returns something else, or has hooks.
    """
    for name, module in network.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            raise ConfigurationError(
                f"the module `{name}` has forward hooks, which cannot be written as source; {CURE}"
            )
    tracer = _Tracer()
    try:
        graph = tracer.trace(_Root(network.eval()))
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigurationError(
            f"the forward of {type(network).__name__} cannot be written as source "
            f"({type(error).__name__}: {reason}); {CURE}"
        ) from error
    result = graph.output_node().args[0]
    calls = [item for item in tracer.stack[0].items if isinstance(item, Call)]
    if not isinstance(result, fx.Node) or calls[0].outputs != [result]:
        raise ConfigurationError(
            f"the forward of {type(network).__name__} returns {result!r}, but one tensor made of "
            f"its input is needed; {CURE}"
        )
    return calls[0]


def name_of(node: fx.Node) -> str:
    """Return the name in the network of the module or tensor that an operation names."""
    return str(node.target).removeprefix(f"{_ROOT}.").removeprefix("_tensor_")


def tensors_read(call: Call) -> dict[str, Tensor]:
    """Return all tensors that a network reads in its forward, by name."""
    read: dict[str, Tensor] = {}
    for node in call.nodes():
        for each in node.all_input_nodes:
            if each.op == "get_attr":
                value: Any = each.meta["root"]
                for part in str(each.target).split("."):
                    value = getattr(value, part)
                read[name_of(each)] = value
    return read


@final
class _Root(nn.Module):
    """Calls a network as its users do, with one input."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Any:  # noqa: ANN401 - as the network
        return self.network(inputs)


@final
class _Tracer(fx.Tracer):
    """Notes in which call of which module each operation was made."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = [Call("", nn.Module())]
        self._names: dict[int, list[str]] = defaultdict(list)

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return name != _ROOT and super().is_leaf_module(module, name)

    def path_of_module(self, module: nn.Module) -> str:
        """Return a module's name; of several the one that it has where it is called."""
        if not self._names:
            for name, each in self.root.named_modules(remove_duplicate=False):
                self._names[id(each)].append(name)
        here = f"{_ROOT}.{self.stack[-1].path}."
        names = self._names.get(id(module)) or [super().path_of_module(module)]
        return next((name for name in names if name.startswith(here)), names[0])

    def call_module(
        self,
        module: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:  # noqa: ANN401 - as the network
        name = self.path_of_module(module)
        if self.is_leaf_module(module, name):
            return super().call_module(module, forward, args, kwargs)
        given = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        labels = {each.node: word for word, each in given.items() if isinstance(each, fx.Proxy)}
        call = Call("" if name == _ROOT else name.removeprefix(f"{_ROOT}."), module, labels)
        self.stack[-1].items.append(call)
        self.stack.append(call)
        try:
            return super().call_module(module, forward, args, kwargs)
        finally:
            self.stack.pop()

    def create_node(self, kind: str, *args: Any, **kwargs: Any) -> fx.Node:  # noqa: ANN401
        node = super().create_node(kind, *args, **kwargs)
        if kind == "get_attr":
            node.meta["root"] = self.root
        elif kind.startswith("call_"):
            self.stack[-1].items.append(node)
        return node
