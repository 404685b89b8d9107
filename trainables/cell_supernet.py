"""All networks of NAS-Bench-201's space in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from torch import nn

from phylon.search.architecture import Architecture
from phylon.search.cell import Cell
from phylon.search.errors import ConfigurationError
from phylon.search.space import SearchSpace
from phylon.trainables.cellnet import OPERATIONS, GraphCell, assemble
from phylon.trainables.conversion import make_elastic
from phylon.trainables.elastic import ElasticConv2d, ElasticDepth, OneOf
from phylon.trainables.supernet import Supernet, largest, parts


@final
class CellSupernet(Supernet):
    """Every edge of every cell holds all operations; stages may be of any depth and width.

    Args:
        space: One whose architectures `build_cellnet` builds.
        build: Builds them.
        channels: Of the pictures.
        classes: To tell apart.

    Raises:
        ConfigurationError: The networks of the space cannot share weights, or its cell is no `Cell`
            of known operations.
    """

    shares = ("cell", "cells", "channels")

    def __init__(
        self,
        space: SearchSpace,
        build: Callable[[Architecture], nn.Module],
        channels: int,
        classes: int,
    ) -> None:
        decisions = space.root.children
        cell = decisions["cell"]
        if not isinstance(cell, Cell) or not {*cell.operations} <= OPERATIONS.keys():
            raise ConfigurationError(
                f"space: cell is {cell!r}, for which there is no supernet; allowed: a Cell with "
                f"the operations {', '.join(OPERATIONS)}"
            )

        choices: dict[str, list[OneOf]] = {edge: [] for edge in cell.children}

        def new_cell(width: int) -> nn.Module:
            for edge in choices.values():
                edge.append(OneOf(**{each: OPERATIONS[each](width) for each in cell.operations}))
            return GraphCell({name: edge[-1] for name, edge in choices.items()}, ())

        sizes = largest("cells", decisions["cells"]), largest("channels", decisions["channels"])
        network = make_elastic(assemble(new_cell, ElasticDepth, *sizes, channels, classes))
        super().__init__(space, build, network)
        self._cell = Cell(cell.nodes, cell.operations)
        self._cells = parts(network, GraphCell)
        self._choices = choices
        self._depths = parts(network, ElasticDepth)
        self._stem = parts(network.get_submodule("stem"), ElasticConv2d)
        stages = network.get_submodule("stages").children()
        self._stages = [parts(stage, ElasticConv2d) for stage in stages]

    def select(self, architecture: Architecture) -> None:
        """Activate an operation on every edge, so many cells and so many channels."""
        decisions = architecture.nested
        live = [edge for edge, _ in self._cell.live(decisions["cell"])]
        for cell in self._cells:
            cell.live = live
        for edge, operation in decisions["cell"].items():
            for choice in self._choices[edge]:
                choice.select(operation)
        for depth in self._depths:
            depth.select(decisions["cells"])
        for number, convolutions in enumerate([self._stem, *self._stages]):
            width = decisions["channels"] << max(0, number - 1)  # each stage doubles it
            for convolution in convolutions:
                convolution.select(width=width)
