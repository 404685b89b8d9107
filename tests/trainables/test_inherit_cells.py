"""Children of cells compute what their parents do, where a mutation allows it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from phylon.search import Architecture, Choice, SearchSpace
from phylon.trainables import darts_space
from phylon.trainables.dartsnet import wires_of
from phylon.trainables.kinship_darts import matched
from phylon.trainables.nasbench201 import CELL, from_string
from tests.trainables.families import family, sampled, seeds

EXACT = 1e-5
CELLS = SearchSpace(cell=CELL, cells=Choice(1, 2), channels=Choice(8, 12, 16))
EDGES = st.sampled_from([f"edge_{source}_{target}" for source, target in CELL.edges])
DARTS = darts_space(nodes=3, cells=3, channels=4)


def rewired(parent: Architecture, **operations: str) -> Architecture:
    """Return a network of another cell: these edges have other operations."""
    decisions = parent.nested
    decisions["cell"] |= operations
    return Architecture(decisions)


@settings(max_examples=12)
@given(seed=seeds, channels=st.sampled_from([9, 12, 16, 20]))
def test_wider_cells_compute_the_same(seed: int, channels: int) -> None:
    parent = sampled(CELLS, seed, channels=8)
    heirs = family(parent, Architecture({**parent, "channels": channels}), seed)
    assert heirs.difference() < EXACT
    assert heirs.taken.share == 1.0


@settings(max_examples=12)
@given(seed=seeds)
def test_convolutions_of_larger_kernels_compute_the_same(seed: int) -> None:
    parent = sampled(CELLS, seed)
    small = [edge for edge, operation in parent["cell"].items() if operation == "nor_conv_1x1"]
    assume(small)
    heirs = family(parent, rewired(parent, **dict.fromkeys(small, "nor_conv_3x3")), seed)
    assert heirs.difference() < EXACT


@settings(max_examples=12)
@given(seed=seeds, edge=EDGES, operation=st.sampled_from(["nor_conv_1x1", "nor_conv_3x3"]))
def test_a_new_convolution_begins_with_nothing(seed: int, edge: str, operation: str) -> None:
    parent = rewired(sampled(CELLS, seed), **{edge: "none"})
    heirs = family(parent, rewired(parent, **{edge: operation}), seed)
    assert heirs.difference() < EXACT


def test_of_a_way_that_comes_to_life_only_the_end_is_closed() -> None:
    parent = from_string("|none~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|")
    heirs = family(parent, rewired(parent, edge_0_1="nor_conv_3x3"), seed=1)
    assert heirs.difference() < EXACT
    heirs.child.train()(torch.randn(4, 1, 9, 9)).square().sum().backward()
    cell = heirs.child.get_submodule("stages.0.cells.0.edges")
    # The gate opens at once, and what is behind it learns from then on.
    gate = cell.get_parameter("edge_1_2.2.weight")
    assert gate.grad is not None
    assert not gate.any()
    assert gate.grad.all()
    assert cell.get_parameter("edge_0_1.2.weight").all()


@settings(max_examples=8)
@given(seed=seeds)
def test_a_new_cell_with_one_shortcut_begins_as_an_identity(seed: int) -> None:
    conv = {f"edge_{edge}": "nor_conv_3x3" for edge in ("0_1", "0_2", "1_3", "2_3")}
    parent = rewired(sampled(CELLS, seed, cells=1), edge_0_3="skip_connect", **conv)
    heirs = family(parent, Architecture({**parent, "cells": 2}), seed)
    assert heirs.difference() < EXACT


def test_a_convolution_in_place_of_an_identity_passes_on_what_is_positive() -> None:
    skip = "|skip_connect~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|none~2|"
    parent = from_string(skip, cells=1, channels=8)
    heirs = family(parent, rewired(parent, edge_0_1="nor_conv_3x3"), seed=1)
    edge = heirs.child.eval().get_submodule("stages.1.cells.0.edges.edge_0_1")
    maps = torch.randn(2, 16, 5, 5)
    torch.testing.assert_close(edge(maps), maps.relu(), rtol=1e-4, atol=1e-4)


@settings(max_examples=12)
@given(seed=seeds, kind=st.sampled_from(["normal", "reduction"]))
def test_larger_kernels_of_wired_cells_compute_the_same(seed: int, kind: str) -> None:
    parent = sampled(DARTS, seed)
    decisions = parent.nested
    for node in decisions[kind].values():
        for wire in node.values():
            if wire["operation"].endswith("conv_3x3"):
                wire["operation"] = wire["operation"].replace("3x3", "5x5")
                heirs = family(parent, Architecture(decisions), seed)
                assert heirs.difference() < EXACT
                return
    assume(False)


@settings(max_examples=8)
@given(seed=seeds, kind=st.sampled_from(["normal", "reduction"]))
def test_one_operation_less_leaves_all_other_weights(seed: int, kind: str) -> None:
    parent = sampled(DARTS, seed)
    decisions = parent.nested
    decisions[kind]["node_4"]["right"]["operation"] = "max_pool_3x3"
    heirs = family(parent, Architecture(decisions), seed)
    assert heirs.taken.share == 1.0


@pytest.mark.parametrize("channels", [4, 7])
def test_nodes_that_change_places_are_found(channels: int) -> None:
    """The canonical order of the nodes is another one, with that of what they concatenate."""
    parent = sampled(DARTS, 0, channels=channels)
    normal = {
        "node_2": wires((0, "sep_conv_3x3"), (1, "max_pool_3x3")),
        "node_3": wires((1, "skip_connect"), (0, "sep_conv_3x3")),
        "node_4": wires((2, "dil_conv_3x3"), (3, "sep_conv_5x5")),
    }
    larger = {**normal, "node_2": wires((0, "sep_conv_5x5"), (1, "max_pool_3x3"))}
    parent, child = (Architecture({**parent, "normal": each}) for each in (normal, larger))
    found = matched(*(wires_of(each, "normal") for each in (parent, child)))
    assert found == {0: 0, 1: 1, 2: 3, 3: 2, 4: 4}
    assert family(parent, child, seed=1).difference() < EXACT


def wires(left: tuple[int, str], right: tuple[int, str]) -> dict[str, Any]:
    """Write the inputs of a node."""
    slots = zip(("left", "right"), (left, right), strict=True)
    return {slot: {"source": source, "operation": what} for slot, (source, what) in slots}
