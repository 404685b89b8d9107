"""How far exported networks are from the trained ones, for random architectures of each space.

Ten architectures of each space are drawn, their weights and running statistics stirred as by a
training, and each is exported in each format; the exported folder's own script then predicts in a
process without phylon. Prints the largest absolute difference, and seconds.

    python benchmarks/exports.py
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from phylon.export_formats import FORMATS, RECIPES, Format
from phylon.export_parity import check_parity
from phylon.export_texts import data_facts, script
from phylon.search import SearchSpace
from phylon.trainables import (
    build_cellnet,
    build_convnet,
    build_dartsnet,
    darts_space,
    macro_space,
    nasbench201_space,
)
from phylon.trainables.samples import Samples

ARCHITECTURES = 10
SAMPLES = 64
SPACES: dict[str, tuple[SearchSpace, Callable[..., nn.Module]]] = {
    "nasbench201": (nasbench201_space(), build_cellnet),
    "macro": (macro_space(32), build_convnet),
    "darts": (darts_space(), build_dartsnet),
}


def main() -> None:
    torch.set_num_threads(1)
    for name, (space, build) in SPACES.items():
        for kind in FORMATS:
            differences, seconds = [], []
            for seed in range(ARCHITECTURES):
                network = stirred(build(space.sample(np.random.default_rng(seed)), 3, 10), seed)
                start = time.perf_counter()
                differences.append(difference(network, kind))
                seconds.append(time.perf_counter() - start)
            print(
                f"{name:12} {kind:7} largest difference {max(differences):.2g} of "
                f"{ARCHITECTURES} (allowed 1e-4), median {np.median(seconds):.1f} s",
                flush=True,
            )


def stirred(network: nn.Module, seed: int) -> nn.Module:
    """Train a network a little on noise, so that all its weights and statistics are its own."""
    torch.manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(2):
        pictures, labels = torch.randn(16, 3, 32, 32) + 0.5, torch.randint(10, (16,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(pictures), labels).backward()
        optimizer.step()
    return network.eval()


def difference(network: nn.Module, kind: Format) -> float:
    """Export a network, and return how far it is from itself."""
    inputs = torch.randn(SAMPLES, 3, 32, 32) + 0.5
    samples = Samples(inputs, inputs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        RECIPES[kind].write(network, inputs[:2], folder, "A network.")
        (folder / "predict.py").write_text(script(RECIPES[kind], samples), encoding="utf-8")
        (folder / "data.json").write_text(json.dumps(data_facts(samples)), encoding="utf-8")
        return float(check_parity(folder, network, samples)["max_abs_difference"])


if __name__ == "__main__":
    main()
