"""Workers that train shared weights together, in processes of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from phylon.search import Context
from phylon.search.evaluation import Team
from phylon.trainables.teamwork import part_of
from tests.trainables.ddp_worker import train

ROOT = Path(__file__).parents[2]


def train_together(folder: Path, kind: str, fault: str = "") -> None:
    """Train with two workers, whose folders are not the same, as on two machines."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    command = [sys.executable, "-m", "tests.trainables.ddp_worker", folder, kind, fault]
    workers = []
    for rank in "01":
        place = {"RANK": rank, "LOCAL_RANK": rank, "NODE_RANK": "0", "OMP_NUM_THREADS": "1"}
        env = {**os.environ, **address, **place}
        with (folder / f"log{rank}").open("w") as log:
            workers.append(subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log))
    try:
        for rank, worker in enumerate(workers):
            assert worker.wait(240) == 0, (folder / f"log{rank}").read_text()[-3000:]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


@pytest.mark.parametrize("kind", ["uniform", pytest.param("fair", marks=pytest.mark.slow), "enas"])
def test_workers_end_with_the_same_weights_as_one_with_their_batches_together(
    tmp_path: Path, kind: str
) -> None:
    train_together(tmp_path, kind)
    first, second = (load_file(tmp_path / f"end{rank}.safetensors") for rank in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    written = {path.name for path in (tmp_path / "rank0").iterdir()}
    assert written == {"weights.safetensors"} | ({"advice.json"} if kind == "enas" else set())
    assert not list((tmp_path / "rank1").iterdir())
    if kind == "enas":  # whose controller learns from what the rounding of weights decides
        return
    train(kind, "", 14, Context(tmp_path / "alone", lambda _: None))
    together = load_file(tmp_path / "rank0" / "weights.safetensors")
    alone = load_file(tmp_path / "alone" / "weights.safetensors")
    for name, weight in alone.items():
        torch.testing.assert_close(together[name], weight, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_a_team_goes_back_together(tmp_path: Path) -> None:
    train_together(tmp_path, "uniform", "nan above")
    first, second = (load_file(tmp_path / f"end{rank}.safetensors") for rank in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert "going back, with half" in (tmp_path / "log0").read_text()


@pytest.mark.parametrize("count", [3, 4, 7, 8])
def test_parts_make_up_the_batch_and_weights_its_mean(count: int) -> None:
    batch = {"x": torch.arange(float(count)), "scale": torch.tensor(2.0), "name": "n"}
    both = [part_of(batch, Team(rank, 2)) for rank in range(2)]
    mean = sum(float(part["x"].mean()) * weight for part, weight in both) / 2
    assert mean == pytest.approx(float(batch["x"].mean()))
    assert all(part["scale"] == 2 and part["name"] == "n" for part, _ in both)
    parts = torch.cat([part["x"] for part, _ in both])
    assert parts.tolist() == list(range(count)) * (2 if count < 4 else 1)
