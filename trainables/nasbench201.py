"""The cell space of NAS-Bench-201 (Dong and Yang 2020, https://arxiv.org/abs/2001.00326)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from phylon.search.architecture import Architecture
from phylon.search.errors import SpaceError
from phylon.search.nodes import Cell, Choice
from phylon.search.space import SearchSpace

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
CELL = Cell(4, OPERATIONS, zero="none", identity="skip_connect")


def nasbench201_space(cells: int = 5, channels: int = 16) -> SearchSpace:
    """Return the space of 15,625 cells, each of which makes one network.

    Args:
        cells: Cells in each of the three stages; the paper has 5.
        channels: Channels of the first stage, doubled by each later one; the paper has 16.

    Raises:
        SpaceError: A number is no integer from 1 up.
    """
    for name, value in (("cells", cells), ("channels", channels)):
        if type(value) is not int or value < 1:
            raise SpaceError(f"nasbench201: {name} is {value!r}; allowed: integers from 1 up")
    return SearchSpace(cell=CELL, cells=Choice(cells), channels=Choice(channels))


def cell_of(value: object) -> Cell | None:
    """Return a cell that has this value, whatever its nodes and operations; None if none has.

    >>> cell = cell_of({"edge_0_1": "conv", "edge_0_2": "none", "edge_1_2": "pool"})
    >>> cell.nodes, cell.operations
    (3, ('conv', 'none', 'pool'))
    """
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value.values()):
        return None
    nodes = (1 + math.isqrt(1 + 8 * len(value))) // 2  # n nodes have n (n - 1) / 2 edges
    operations = tuple(sorted(set(value.values())))
    if nodes < 2:
        return None
    cell = Cell(nodes, operations)
    return cell if cell.children.keys() == value.keys() else None


def from_string(text: str, cells: int = 5, channels: int = 16) -> Architecture:
    """Return the architecture that a string of the benchmark stands for; undoes `to_string`.

    >>> net = from_string("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|none~2|")
    >>> net["cell"]["edge_1_2"]
    'skip_connect'

    Raises:
        SpaceError: The text does not parse; the message says where.
    """
    return Architecture({"cell": CELL.read(text), "cells": cells, "channels": channels})


def to_string(architecture: Architecture) -> str:
    """Return the cell of an architecture in the benchmark's notation."""
    return CELL.write(architecture.nested["cell"])
