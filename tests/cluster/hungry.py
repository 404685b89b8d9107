"""An evaluator that takes as much memory as its candidates say; run as a program, it is capped.

    python -m tests.cluster.hungry KIND SHARE_MIB MIB...

evaluates candidates of so many MiB, one after another in this process, each within the share, and
prints for each what `Ended` says and how many bytes are still held after it, as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phylon.cluster.attempts import evaluate
from phylon.cluster.executor import Share
from phylon.search import Architecture, Candidate, Context, Measurement

MIB = 2**20


@dataclass
class Hungry:
    """Holds as many MiB as the candidate's `mib`, in a cycle, and in places that tracebacks keep.

    Attributes:
        kind: Who is asked for memory: ``numpy``, ``torch``, or ``pieces``: Python, bit by bit.
        seconds: How long it is held.
    """

    kind: str = "numpy"
    seconds: float = 0.0
    metrics: tuple[str, ...] = ("y",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        held: list[Any] = []
        held.append(held)
        held.extend(self._take(20 * MIB) for _ in range(candidate.architecture["mib"] // 20))
        time.sleep(self.seconds)
        context.report(Measurement(1, {"y": float(candidate.architecture["mib"])}, 0.0))

    def _take(self, size: int) -> Any:
        if self.kind == "torch":
            import torch

            return torch.ones(size, dtype=torch.uint8)
        if self.kind == "pieces":
            return [b"x" * 1000 + bytes([i % 256]) for i in range(size // 1000)]
        return np.ones(size, dtype=np.uint8)


def held() -> int:
    """Return the bytes that this process holds for itself."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def main(kind: str, share_mib: str, *candidates: str) -> None:
    evaluator, share = Hungry(kind), Share(memory=int(share_mib) * MIB)
    if kind == "torch":
        evaluator._take(MIB)
    results = []
    for number, mib in enumerate(candidates):
        candidate = Candidate(number, Architecture({"mib": int(mib)}))
        before = held()
        ended = evaluate(evaluator, candidate, Context(Path("nowhere"), lambda _: None), share)
        results.append({**dataclasses.asdict(ended), "before": before, "after": held()})
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
