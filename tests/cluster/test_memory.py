"""A share of memory is kept to, measured and given back, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from phylon.cluster import memory
from phylon.cluster.executor import Share
from phylon.cluster.memory import SLACK, Cap

ROOT = Path(__file__).parents[2]
MIB = 2**20
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds memory")


def start(kind: str, share: int, *candidates: int) -> subprocess.Popen[str]:
    words = [kind, *map(str, (share, *candidates))]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.hungry", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def results(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, _ = process.communicate()
    assert process.returncode == 0
    ended: list[dict[str, Any]] = json.loads(out)
    return ended


@pytest.mark.parametrize("kind", ["numpy", "torch", "pieces"])
def test_what_is_beyond_the_share_is_refused_and_the_next_candidate_has_room(kind: str) -> None:
    large, small, share = 1500, 200, 500
    refused, fits, again, fits_again = results(start(kind, share, large, small, large, small))
    for each, freed_heap in ((refused, 0), (again, small)):
        assert each["out_of_memory"]
        assert each["error"]
        assert each["peak"] < (share + freed_heap + 64) * MIB + SLACK
    for each in (fits, fits_again):
        assert each["error"] is None
        assert not each["out_of_memory"]
        assert each["peak"] >= each["before"] + small * MIB
        assert each["peak"] < each["before"] + (small + 64) * MIB
    for each in (refused, fits, again):
        assert each["after"] < refused["before"] + 64 * MIB


def test_a_neighbour_of_one_that_runs_out_of_memory_is_not_disturbed() -> None:
    neighbour = start("numpy", 700, *[300] * 8)
    greedy = start("numpy", 700, *[1500] * 3)
    assert all(each["out_of_memory"] for each in results(greedy))
    assert all(each["error"] is None for each in results(neighbour))


def test_a_share_that_the_worker_itself_fills_is_too_small_but_does_no_harm() -> None:
    refused, tiny = results(start("numpy", 1, 400, 0))
    assert refused["out_of_memory"]
    assert tiny["error"] is None


def test_without_a_planned_share_nothing_is_bounded_or_measured() -> None:
    (free,) = results(start("numpy", 0, 600))
    assert free["error"] is None
    assert free["peak"] == 0


def test_a_gpu_that_torch_does_not_see_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_GPU_DRIVERS", ("/dev/null",))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    cap = Cap(Share(1.0, 0.5), "cuda")
    with cap:
        assert not cap.is_planned
    assert cap.peak == 0
