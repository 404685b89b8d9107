"""How zero-cost proxies of phylon rank cells, against the published ones of the same cells.

Scores networks of NAS-Bench-201 (5 cells a stage, 16 channels, 10 classes) on one batch of random
pictures of CIFAR-10's shape with random labels, and prints for each proxy Spearman's correlation
with its column in a table of NAS-Bench-Suite-Zero (`flops` for `macs`), and the mean seconds per
network on one thread.

    python benchmarks/proxies.py TABLE.parquet [--cells 200] [--seed 0] [--batch-size 32]

Takes about twenty minutes for 200 cells.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pyarrow.parquet as pq
import torch
from scipy.stats import spearmanr

from phylon.trainables.cellnet import build_cellnet
from phylon.trainables.nasbench201 import from_string
from phylon.trainables.proxies import PROXIES, score

CLASSES = 10
SHAPE = (3, 32, 32)
COLUMNS = {"macs": "flops"}
WANTED = {"params": 0.9, "macs": 0.9, "synflow": 0.9, "nwot": 0.7, "jacov": 0.7}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table")
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = pq.read_table(options.table)
    rng = np.random.default_rng(options.seed)
    chosen = table.take(np.sort(rng.choice(len(table), options.cells, replace=False)))
    torch.manual_seed(options.seed)
    inputs = torch.randn(options.batch_size, *SHAPE)
    labels = torch.randint(CLASSES, (options.batch_size,))
    networks = [
        build_cellnet(from_string(cell), SHAPE[0], CLASSES)
        for cell in chosen["architecture"].to_pylist()
    ]
    print(f"{len(networks)} cells, batches of {options.batch_size}")
    for name in PROXIES:
        start = time.perf_counter()
        ours = [score(network, inputs, labels, [name])[name] for network in networks]
        seconds = (time.perf_counter() - start) / len(networks)
        published = chosen[COLUMNS.get(name, name)].to_numpy()
        correlation = spearmanr(ours, published).statistic
        wanted = f" (wanted: at least {WANTED[name]})" if name in WANTED else ""
        print(f"{name:9} {correlation:6.3f}{wanted}, {seconds:.3f} s per network", flush=True)


if __name__ == "__main__":
    main()
