"""All networks of the DARTS space in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import numpy as np
from torch import nn

from phylon.search.architecture import Architecture
from phylon.search.errors import ConfigurationError
from phylon.search.nodes import WiredCell
from phylon.search.space import SearchSpace
from phylon.search.wired_cell import INPUTS, SLOTS, wires
from phylon.trainables.dartsnet import KINDS, OPERATIONS, DartsCell, DartsNet, Place
from phylon.trainables.elastic import OneOf
from phylon.trainables.supernet import Supernet, parts


@final
class DartsSupernet(Supernet):
    """Both inputs of every node hold, for every source, all operations, as in ENAS.

    https://arxiv.org/abs/1802.03268. Cells that are the same network in two spellings have the same
    path.

    Args:
        space: One whose architectures `build_dartsnet` builds.
        build: Builds them.
        channels: Of the pictures.
        classes: To tell apart.

    Raises:
        ConfigurationError: The networks of the space cannot share weights, or a cell is no
            `WiredCell` of known operations.
    """

    shares = KINDS

    def __init__(
        self,
        space: SearchSpace,
        build: Callable[[Architecture], nn.Module],
        channels: int,
        classes: int,
    ) -> None:
        wiring = {kind: _wired_cell(space, kind) for kind in KINDS}

        def new_cell(place: Place) -> DartsCell:
            cell = wiring[place.kind]
            nodes = range(INPUTS, INPUTS + cell.nodes)
            inputs = [[_any_source(place, cell, range(node)) for _ in SLOTS] for node in nodes]
            return DartsCell(place, inputs, ())

        anyone = space.sample(np.random.default_rng(0))
        super().__init__(space, build, DartsNet(anyone, channels, classes, new_cell))
        self._wiring = wiring
        self._cells = parts(self.network, DartsCell)
        self.select(anyone)

    def select(self, architecture: Architecture) -> None:
        """Activate a source and an operation for both inputs of every node of every cell."""
        decisions = architecture.nested
        taken = {kind: wires(cell.graph(decisions[kind])) for kind, cell in self._wiring.items()}
        for cell in self._cells:
            cell.taken = taken[cell.kind]
            for made, (_, operation) in cell.inputs():
                made.select(operation)


def _wired_cell(space: SearchSpace, kind: str) -> WiredCell:
    cell = space.root.children[kind]
    if not isinstance(cell, WiredCell) or not {*cell.operations} <= OPERATIONS.keys():
        raise ConfigurationError(
            f"space: {kind} is {cell!r}, for which there is no supernet; allowed: a WiredCell with "
            f"the operations {', '.join(OPERATIONS)}"
        )
    return cell


def _any_source(place: Place, cell: WiredCell, sources: range) -> dict[int, nn.Module]:
    return {
        source: OneOf(**{each: place.operation(each, source) for each in cell.operations})
        for source in sources
    }
