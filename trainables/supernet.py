"""One network that holds all networks of a space, with shared weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from operator import gt
from typing import Any, ClassVar, TypeVar, cast

from torch import Tensor, nn

from phylon.search.architecture import Architecture
from phylon.search.choice import Choice
from phylon.search.errors import ConfigurationError
from phylon.search.node import Node
from phylon.search.numeric import Integer
from phylon.search.space import SearchSpace
from phylon.trainables.elastic import OneOf

Part = TypeVar("Part", bound=nn.Module)


class Supernet(nn.Module, ABC):
    """All networks of a space in one, of which one path at a time is active.

    Its layers have the names that they have in the stand-alone networks, so that weights find their
    way from one to the other: only a `OneOf` adds the name of the option. A subclass names what it
    `shares` and defines `select`.

    Args:
        space: The networks.
        build: Makes a stand-alone network of the space, with fresh random weights.
        network: All of them in one, made of elastic layers (`phylon.trainables.elastic`): often
            `make_elastic(build(largest))`.

    Attributes:
        shares: The decisions of the space, by their outermost names, that `select` obeys.

    Raises:
        ConfigurationError: The networks of the space cannot share weights; see `check_shareable`.
    """

    shares: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, space: SearchSpace, build: Callable[[Architecture], nn.Module], network: nn.Module
    ) -> None:
        super().__init__()
        check_shareable(space, self.shares)
        self.space = space
        self.network = network
        self._build = build

    @abstractmethod
    def select(self, architecture: Architecture) -> None:
        """Activate the path of an architecture of the space; nothing is copied.

        This happens at every step of a training, so the architecture is not validated.
        """

    def forward(self, *inputs: Tensor) -> Any:  # noqa: ANN401 - as the networks
        """Return what the network of the active path makes of the inputs."""
        return self.network(*inputs)

    def extract(self, architecture: Architecture) -> nn.Module:
        """Return the stand-alone network of an architecture, with copies of its path's weights.

        The path becomes the active one.

        Raises:
            SpaceError: The architecture is not of the space.
            ConfigurationError: The supernet has no such weights, or smaller ones.
        """
        self.space.validate(architecture)
        self.select(architecture)
        network = self._build(architecture)
        own = network.state_dict()
        network.load_state_dict({name: self._cut(name, own[name].shape) for name in own})
        return network

    def _cut(self, name: str, shape: Sequence[int]) -> Tensor:
        """Return a view of shared weights: leading channels, and the centre of a kernel."""
        try:
            tensor = self._find(name)
        except AttributeError as error:
            raise ConfigurationError(
                f"{type(self).__name__} has no `{name}`, but the stand-alone network has: its "
                "layers need the same names in both, but for those of a OneOf"
            ) from error
        full = tuple(tensor.shape)
        if len(full) != len(shape) or any(map(gt, shape, full)):
            raise ConfigurationError(
                f"`{name}` has shape {tuple(shape)} in the stand-alone network, but {full} in "
                f"{type(self).__name__}, which needs the largest of each size"
            )
        for axis, size in enumerate(shape):
            start = (full[axis] - size) // 2 if axis > 1 else 0
            tensor = tensor.narrow(axis, start, size)
        return tensor

    def _find(self, name: str) -> Tensor:
        """Return the shared tensor that an active stand-alone network has under this name."""
        found: Any = self.network
        for part in name.split("."):
            while isinstance(found, OneOf):
                found = found.active
            found = getattr(found, part)
        return cast("Tensor", found)


def check_shareable(space: SearchSpace, shares: Iterable[str]) -> None:
    """Check that the networks of a space differ only in what shared weights can do.

    Args:
        space: The networks.
        shares: The decisions, by their outermost names, that choose among weights.

    Raises:
        ConfigurationError: Networks differ in other decisions, or not at all.
    """
    shares = tuple(shares)
    open_ = [name for name, node in space.root.nodes if node.size > 1]
    if others := [name for name in open_ if name not in shares]:
        raise ConfigurationError(
            f"space: {', '.join(others)} cannot be shared: a supernet chooses among its weights "
            f"by {', '.join(shares)} alone, and how all of them are trained cannot differ between "
            f"its networks. Give each one value, as in {others[0]}=Choice(value), or leave it out "
            "(of the macro space by `space: {name: macro, ..., hyperparameters: false}`)"
        )
    if not open_:
        raise ConfigurationError(
            f"space: there is nothing to share, as it holds one network only; let at least one of "
            f"{', '.join(shares)} have more than one option"
        )


def largest(name: str, node: Node[Any]) -> int:
    """Return the largest number that a decision may have.

    Raises:
        ConfigurationError: The decision is not among whole numbers.
    """
    if isinstance(node, Integer):
        return node.high
    numbers = node.options if isinstance(node, Choice) else ()
    whole = [each for each in numbers if type(each) is int]
    if not whole or len(whole) < len(numbers):
        raise ConfigurationError(
            f"space: {name} is {node!r}; allowed in a supernet: Integer(low, high), or a Choice of "
            "integers"
        )
    return max(whole)


def parts(module: nn.Module, kind: type[Part]) -> list[Part]:
    """Return all modules of a kind within a module, in order."""
    return [each for each in module.modules() if isinstance(each, kind)]
