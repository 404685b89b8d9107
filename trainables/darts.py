"""The cell space of DARTS and ENAS: a normal and a reduction cell, two inputs for each node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from phylon.search.errors import SpaceError, did_you_mean
from phylon.search.nodes import Choice, WiredCell
from phylon.search.space import SearchSpace
from phylon.search.wired_cell import SLOTS

OPERATIONS = (
    "skip_connect",
    "max_pool_3x3",
    "avg_pool_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
FEWEST_CELLS = 3


def darts_space(
    nodes: int = 4,
    cells: int = 6,
    channels: int = 8,
    operations: Sequence[str] = OPERATIONS,
) -> SearchSpace:
    """Return the space of pairs of a normal and a reduction cell (DARTS, Liu et al. 2019).

    https://arxiv.org/abs/1806.09055. The operations are those of its cells once they are derived,
    so without `none`; ENAS (Pham et al. 2018, https://arxiv.org/abs/1802.03268) has all but the
    dilated ones. As in DARTS, all nodes of a cell are its output, so that its width, and with it
    the shape of all shared weights, is the same for all cells; in ENAS it is the nodes no other
    node takes.

    Args:
        nodes: Nodes of a cell, its two inputs not counted; DARTS has 4, ENAS 5.
        cells: Cells of a network, those after a third and two thirds of which are reductions; 3 or
            more.
        channels: Channels of each node up to the first reduction, doubled by each.
        operations: Among which a node chooses for an input.

    Raises:
        SpaceError: A number is too small, or an operation is unknown.
    """
    for name, value, least in (("cells", cells, FEWEST_CELLS), ("channels", channels, 1)):
        if type(value) is not int or value < least:
            raise SpaceError(f"darts: {name} is {value!r}; allowed: integers from {least} up")
    for operation in operations:
        if operation not in OPERATIONS:
            raise SpaceError(
                f"darts: operation {operation!r}; {did_you_mean(operation, OPERATIONS)}"
            )
    cell = WiredCell(nodes, tuple(operations))
    return SearchSpace(normal=cell, reduction=cell, cells=Choice(cells), channels=Choice(channels))


def wired_cell_of(value: object) -> WiredCell | None:
    """Return a wired cell that has this value, whatever its operations; None if none has."""
    if not isinstance(value, Mapping) or not value:
        return None
    try:
        operations = sorted({node[slot]["operation"] for node in value.values() for slot in SLOTS})
        cell = WiredCell(len(value), tuple(operations))
        cell.check(value, ())
    except (SpaceError, KeyError, TypeError):
        return None
    return cell
