"""Weights and candidates on their way to the workers of a cluster."""

from __future__ import annotations

import pytest

from benchmarks.weights import measure


@pytest.mark.slow
def test_the_driver_sends_little_and_each_node_gets_the_weights_once() -> None:
    sent, copies, _ = measure(1000, each=0.0)
    assert sent <= 1_000_000
    assert [round(each, 1) for each in copies] == [1.0, 1.0]
