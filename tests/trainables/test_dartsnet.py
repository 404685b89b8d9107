from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phylon.search import (
    Architecture,
    Candidate,
    Choice,
    Float,
    Measurement,
    SearchSpace,
    WiredCell,
)
from phylon.search.errors import ConfigurationError, SpaceError
from phylon.search.wired_cell import wires
from phylon.trainables import (
    ImageTask,
    LightningEvaluator,
    Training,
    build_dartsnet,
    darts_space,
    describe,
    load_space,
)
from phylon.trainables.darts import OPERATIONS
from phylon.trainables.dartsnet import OPERATIONS as MAKERS
from phylon.trainables.dartsnet import DartsCell

SPACE = darts_space(nodes=3, cells=4, channels=2)
PLAIN = darts_space(nodes=4, cells=3, channels=2, operations=OPERATIONS[:3])
Evaluate = Callable[..., list[Measurement]]


def sample(space: SearchSpace, seed: int) -> Architecture:
    return space.sample(np.random.default_rng(seed))


def everywhere(operation: str, nodes: int = 1) -> dict[str, Any]:
    """Return a cell with one operation on both inputs of every node."""
    slots = {
        "left": {"source": 0, "operation": operation},
        "right": {"source": 1, "operation": operation},
    }
    return {f"node_{number}": slots for number in range(2, 2 + nodes)}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))
def test_every_cell_builds_and_trains_on_pictures_of_any_size(
    seed: int, height: int, width: int, channels: int
) -> None:
    network = build_dartsnet(sample(SPACE, seed), channels, 3)
    logits = network(torch.randn(2, channels, height, width))
    assert logits.shape == (2, 3)
    logits.sum().backward()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_keeps_or_halves_the_maps(operation: str) -> None:
    assert MAKERS.keys() == {*OPERATIONS}
    for side in (1, 2, 7, 8):
        maps = torch.randn(2, 4, side, side + 1)
        assert MAKERS[operation](4, 1)(maps).shape == maps.shape
        halved = MAKERS[operation](4, 2)(maps)
        assert halved.shape == (2, 4, (side + 1) // 2, (side + 2) // 2)


def test_widths_and_sizes_of_the_cells() -> None:
    cells = {"normal": everywhere("sep_conv_3x3", 2), "reduction": everywhere("skip_connect", 3)}
    network = build_dartsnet(Architecture({**cells, "cells": 7, "channels": 4}), 1, 5)
    shapes: list[torch.Size] = []
    for cell in network.cells:
        cell.register_forward_hook(lambda _, __, output: shapes.append(output.shape[1:]))
    network(torch.randn(2, 1, 9, 9))
    first, second = [(8, 9, 9)] * 2, [(24, 5, 5), (16, 5, 5)]
    assert shapes == [*first, *second, (48, 3, 3), (32, 3, 3), (32, 3, 3)]


def seen(network: torch.nn.Module) -> Iterator[tuple[str, list[torch.Tensor], torch.Tensor]]:
    """Yield for each cell its kind, the two maps that its nodes begin with, and its output."""
    kept: dict[torch.nn.Module, torch.Tensor] = {}
    cells = [each for each in network.modules() if isinstance(each, DartsCell)]
    for module in [part for cell in cells for part in (cell, cell.before, cell.last)]:
        module.register_forward_hook(lambda module, _, output: kept.update({module: output}))
    network.eval()(torch.randn(2, 1, 8, 8))
    return ((cell.kind, [kept[cell.before], kept[cell.last]], kept[cell]) for cell in cells)


@pytest.mark.parametrize("seed", range(8))
def test_nodes_are_sums_of_what_the_architecture_says(seed: int) -> None:
    """Worked out as it is spelled; the network has the nodes in an order of its own."""
    architecture = sample(PLAIN, seed)
    for kind, maps, output in seen(build_dartsnet(architecture, 1, 2)):
        if kind == "reduction":  # its skips have weights
            continue
        for left, right in wires(architecture.nested[kind]):
            maps.append(sum(MAKERS[op](2, 1)(maps[source]) for source, op in (left, right)))
        nodes = [node.sum().item() for node in output.chunk(4, dim=1)]
        told = [node.sum().item() for node in maps[2:]]
        assert sorted(nodes) == pytest.approx(sorted(told), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_one_network_in_two_spellings_is_built_alike(seed: int) -> None:
    one = sample(SPACE, seed)
    nested = one.nested
    for kind in ("normal", "reduction"):
        for node in nested[kind].values():
            node["left"], node["right"] = node["right"], node["left"]
    other = Architecture(nested)
    assert SPACE.key(one) == SPACE.key(other)
    networks = [build_dartsnet(each, 1, 3).eval() for each in (one, other)]
    networks[1].load_state_dict(networks[0].state_dict())
    pictures = torch.randn(3, 1, 8, 8)
    assert torch.equal(*(network(pictures) for network in networks))


def test_networks_are_trained_and_their_memory_is_foreseen(
    bars: ImageTask, evaluate: Evaluate
) -> None:
    rate = Float(1e-3, 1e-1, log=True)
    space = SearchSpace({**SPACE.root.children, "learning_rate": rate})
    candidate = Candidate(0, sample(space, 1), seed=1)
    module = bars.lightning_module(bars.build(candidate.architecture), candidate.architecture)
    assert module.learning_rate == candidate.architecture["learning_rate"]
    evaluator = LightningEvaluator(bars, Training(epochs=1, batch_size=16))
    assert evaluate(evaluator, candidate=candidate)[-1].metrics["params"] > 0
    weights = sum(4 * parameter.numel() for parameter in module.parameters())
    assert evaluator.memory(candidate) > 3 * weights


def test_the_space_is_found_by_name_and_told_in_words() -> None:
    space = load_space(
        {"name": "darts", "nodes": 2, "cells": 5, "channels": 4, "operations": ["skip_connect"]}
    )
    architecture = sample(space, 1)
    normal, reduction = (space.root.children[kind] for kind in ("normal", "reduction"))
    assert isinstance(normal, WiredCell)
    assert normal == reduction
    assert describe(architecture) == (
        f"cells 5, channels 4, normal {normal.write(architecture.nested['normal'])}, "
        f"reduction {normal.write(architecture.nested['reduction'])}"
    )
    assert "skip_connect~0" in describe(architecture)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"cells": 2}, "cells is 2; allowed: integers from 3 up"),
        ({"channels": 0.5}, "channels is 0.5; allowed: integers from 1 up"),
        ({"nodes": 0}, "nodes is 0"),
        ({"operations": ["sep_conv_3"]}, "'sep_conv_3'; did you mean `sep_conv_3x3`"),
    ],
)
def test_what_no_network_can_have_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(SpaceError, match=told):
        darts_space(**fields)


@pytest.mark.parametrize(
    ("decisions", "told"),
    [
        ({"normal": everywhere("conv")}, "normal=.*cannot be built; allowed: .* sep_conv_3x3"),
        ({"reduction": {"node_2": "x"}}, "reduction=.*cannot be built"),
        ({"normal": None}, "normal=None cannot be built"),
    ],
)
def test_other_cells_are_refused(bars: ImageTask, decisions: dict[str, Any], told: str) -> None:
    architecture = Architecture({**sample(SPACE, 0).nested, **decisions})
    with pytest.raises(ConfigurationError, match=told):
        bars.build(architecture)


def test_a_missing_cell_is_named(bars: ImageTask) -> None:
    space = {"normal": Choice("x"), "cells": Choice(4), "channels": Choice(2)}
    with pytest.raises(ConfigurationError, match=r"does not decide reduction.*darts_space"):
        bars.build(sample(SearchSpace(space), 0))
