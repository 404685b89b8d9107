"""The plain PyTorch source of a trained network, which needs nothing but torch to run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from phylon.search.errors import ConfigurationError
from phylon.trainables.source_classes import merged
from phylon.trainables.source_forward import forwards, reference
from phylon.trainables.source_layers import Code, empty, layer, listed, literal, mapped
from phylon.trainables.source_trace import CURE, tensors_read, trace

MAIN = "Network"
_IMPORTS = {
    "math.": "import math",
    "operator.": "import operator",
    "OrderedDict(": "from collections import OrderedDict",
}


@final
@dataclass(frozen=True)
class Source:
    """A network as source and weights.

    Attributes:
        text: A Python module with the class `Network`, which is made without arguments.
        weights: What its `load_state_dict` takes, by the names that the network itself has.
    """

    text: str
    weights: dict[str, Tensor]


def write_source(network: nn.Module, about: str) -> Source:
    """Return the source of any network of one tensor to one tensor, as it predicts.

    Layers of ``torch.nn`` are made as they were; the forward of every other module is followed
    while the network runs and written down as it was, without what did not happen in it. The names
    of parameters and buffers stay. Buffers that `state_dict` leaves out are among the weights.

    Args:
        network: A trained one; it is put into evaluation mode.
        about: A sentence on what it is.

    Raises:
        ConfigurationError: It cannot be written as source.
    """
    if kinds := {str(p.dtype) for p in network.parameters()} - {"torch.float32"}:
        raise ConfigurationError(
            f"the network has parameters of {', '.join(sorted(kinds))}, but source is written for "
            f"torch.float32; {CURE}"
        )
    writer = _Writer(network)
    body = writer.write()
    imports = [line for name, line in _IMPORTS.items() if name in body]
    between = [""] if imports else []
    lines = [f'"""{about}"""', "", *imports, *between, "import torch", "from torch import nn"]
    return Source("\n".join([*lines, "", "", body]), writer.weights)


@final
class _Writer:
    """Writes the modules of a network, each kind once."""

    def __init__(self, network: nn.Module) -> None:
        call = trace(network)
        read = tensors_read(call)
        self.weights = {
            name: value.detach().cpu().clone().contiguous()
            for name, value in {**network.state_dict(), **read}.items()
        }
        self._network = network
        self._modules = dict(network.named_modules(remove_duplicate=False))
        self._forwards = forwards(call, self._modules)
        called = {*call.names(), *(each.path for each in call.calls())}
        found = {id(module) for name, module in self._modules.items() if name in called}
        others = {name for name, module in self._modules.items() if id(module) in found}
        self._used = called | others | self.weights.keys()
        self._classes: dict[tuple[str, ...], str] = {}

    def write(self) -> str:
        """Return all classes, inner ones before those that they are used in."""
        self._class("", self._network)
        classes = merged({name: "\n".join(lines) for lines, name in self._classes.items()}, MAIN)
        return "\n\n\n".join(f"class {name}{text}" for name, text in classes.items()) + "\n"

    def _class(self, path: str, module: nn.Module) -> str:
        """Write the class of a module, unless there is an equal one, and return its name."""
        forward = self._forwards.get(path)
        base = "nn.Module"
        if isinstance(module, nn.Sequential):  # the network itself, as others need no class
            base, made = "nn.Sequential", self._container(path, module)
            own = made._replace(head=made.head.replace(base, "super().__init__", 1))
            statements = [own.laid_out(8)]
        else:
            statements = ["super().__init__()", *self._statements(path, module)]
        if not path:
            statements += self._ties()
        init = ["    def __init__(self):", *(f"        {each}" for each in statements)]
        needs_forward = forward is not None and not forward.is_chain
        method = ["", *forward.lines] if forward and needs_forward else []
        lines = (f"({base}):", *init, *method)
        if lines not in self._classes:
            self._classes[lines] = self._free_name(type(module).__name__ if path else MAIN)
        return self._classes[lines]

    def _free_name(self, wish: str) -> str:
        name, number = wish, 2
        while name in {*self._classes.values(), *((MAIN,) if wish != MAIN else ())}:
            name, number = f"{wish}{number}", number + 1
        return name

    def _statements(self, path: str, module: nn.Module) -> Iterator[str]:
        """Yield what makes the parts, parameters and buffers of a module."""
        for name, child in _children(module):
            if self._is_needed(_join(path, name)):
                code = self._made(_join(path, name), child)
                if name.isidentifier():
                    start = f"self.{name} = "
                    yield start + code.laid_out(8, len(start))
                else:
                    yield Code(
                        "self.add_module(", (("", Code(literal(name))), ("", code)), ")"
                    ).laid_out(8)
        for name, parameter in module.named_parameters(recurse=False):
            yield f"self.{name} = {_parameter(parameter)}"
        for name in sorted(self.weights):
            parent, _, last = name.rpartition(".")
            if parent == path and last not in module._parameters:
                yield f'self.register_buffer("{last}", {empty(self.weights[name])})'

    def _made(self, path: str, module: nn.Module) -> Code:
        """Return what makes a module."""
        forward = self._forwards.get(path)
        if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            return self._container(path, module)
        if isinstance(module, nn.ParameterList | nn.ParameterDict):
            made = [(name, Code(_parameter(each))) for name, each in module.named_parameters()]
            if isinstance(module, nn.ParameterDict):
                return mapped("nn.ParameterDict", made)
            return listed("nn.ParameterList", [code for _, code in made], "[", "]")
        if forward is not None and not forward.lines and not module.state_dict():
            return Code("nn.Identity()")
        if forward is None and type(module).__module__.startswith("torch.nn"):
            return layer(module, path)
        return Code(f"{self._class(path, module)}()")

    def _container(self, path: str, module: nn.Module) -> Code:
        """Return what makes a list or dictionary of modules.

        Raises:
            ConfigurationError: It has weights of its own.
        """
        if module._parameters or module._buffers:
            raise ConfigurationError(
                f"`{path or 'the network'}` is a {type(module).__name__} with weights of its own "
                f"beside those of its parts, which cannot be written as source; {CURE}"
            )
        children = _children(module)
        if isinstance(module, nn.ModuleDict):
            return mapped("nn.ModuleDict", self._needed(path, children))
        if [name for name, _ in children] == list(map(str, range(len(children)))):
            made = [self._made_or_nothing(_join(path, name), child) for name, child in children]
            if isinstance(module, nn.ModuleList):
                return listed("nn.ModuleList", made, "[", "]")
            return listed("nn.Sequential", made)
        ordered = mapped("OrderedDict", self._needed(path, children))
        return Code("nn.Sequential(", (("", ordered),), ")")

    def _needed(
        self, path: str, children: list[tuple[str, nn.Module]]
    ) -> Iterator[tuple[str, Code]]:
        for name, child in children:
            if self._is_needed(_join(path, name)):
                yield name, self._made(_join(path, name), child)

    def _made_or_nothing(self, path: str, module: nn.Module) -> Code:
        return self._made(path, module) if self._is_needed(path) else Code("nn.Identity()")

    def _is_needed(self, path: str) -> bool:
        """Whether a module is called, or there are weights in it."""
        return path in self._used or any(name.startswith(f"{path}.") for name in self._used)

    def _ties(self) -> Iterator[str]:
        """Yield what makes parameters that are one in the network one in its source."""
        first: dict[int, str] = {}
        for name, parameter in self._network.named_parameters(remove_duplicate=False):
            origin = first.setdefault(id(parameter), name)
            if origin != name:
                tied, one = (reference(each, "", self._modules) for each in (name, origin))
                yield f"{tied} = {one}"


def _children(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the parts of a module by all their names; `named_children` gives but one to each."""
    return [(name, child) for name, child in module._modules.items() if child is not None]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _parameter(parameter: nn.Parameter) -> str:
    frozen = "" if parameter.requires_grad else ", requires_grad=False"
    return f"nn.Parameter({empty(parameter)}{frozen})"
