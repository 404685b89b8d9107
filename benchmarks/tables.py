"""Writes a synthetic table for `phylon bench`: its optimum is known, and parts of it deceive.

    python benchmarks/tables.py TABLE.parquet
    phylon bench --table TABLE.parquet --objective search --report true --budget 150 --seeds 20
        --strategy random --strategy regularized_evolution

The architectures have two groups of four bits and one to three stages, each plain or gated. Every
group is a trap (Deb and Goldberg 1993): all ones are best, but with fewer of them it is the better
the fewer there are, so that steps uphill lead away. The stages are one more trap, whose best is
three open gates, and which draws towards a single stage. The only optimum has all of it right.

Columns: `true` is the quality in percent of the optimum's, `search` the same with normal noise of
standard deviation 2, `seconds` what training might take, more of it for larger architectures.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from phylon.bench_table import write_table
from phylon.search import Architecture, Block, Choice, Repeat, SearchSpace

BITS = 4
STAGES = 3
NOISE = 2.0


def main() -> None:
    synthetic_table(Path(sys.argv[1]))


def synthetic_table(path: Path, *, groups: int = 2) -> None:
    """Write the table; every call writes the same.

    Args:
        path: The file.
        groups: Traps of `BITS` bits; there are 39 * 16 ** groups architectures.
    """
    space = synthetic_space(groups)
    architectures = list(space.enumerate())
    true = np.array([quality(architecture) for architecture in architectures])
    search = true + np.random.default_rng(0).normal(0.0, NOISE, len(true))
    seconds = np.array([cost(architecture) for architecture in architectures])
    write_table(path, space, architectures, {"search": search, "true": true, "seconds": seconds})


def synthetic_space(groups: int) -> SearchSpace:
    """Return the space of so many groups of bits, and of the stages."""
    bits = Block(**{f"bit{place}": Choice(0, 1) for place in range(BITS)})
    stage = Choice(plain=Block(), gated=Block(gate=Choice("closed", "open")))
    traps = {f"group{place}": bits for place in range(groups)}
    return SearchSpace(**traps, stages=Repeat(stage, 1, STAGES))


def quality(architecture: Architecture) -> float:
    """Return how good an architecture truly is; 100 for the best, which is the only one."""
    groups, stages = parts(architecture)
    scores = [BITS if ones == BITS else BITS - 1 - ones for ones in groups]
    opened = sum(stage.get("gate") == "open" for stage in stages)
    deceived = STAGES - opened - 0.5 * (len(stages) - 1)
    score = sum(scores) + (BITS if opened == STAGES else deceived)
    return 100 * score / (BITS * (len(groups) + 1))


def cost(architecture: Architecture) -> float:
    """Return the seconds that training it might take."""
    groups, stages = parts(architecture)
    gated = sum(stage["type"] == "gated" for stage in stages)
    return 10.0 + 5.0 * len(stages) + 5.0 * gated + sum(groups)


def parts(architecture: Architecture) -> tuple[list[int], list[dict[str, str]]]:
    """Return the number of ones in each group, and the stages."""
    decisions = architecture.nested
    stages = decisions.pop("stages")
    return [sum(group.values()) for group in decisions.values()], stages


if __name__ == "__main__":
    main()
