"""A user's task, as the tests on several hosts ship it: steps that take time, and checkpoints."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from phylon import Candidate, Context, Float, Measurement, SearchSpace

space = SearchSpace(x=Float(0.0, 1.0))


class Steps:
    """Sleeps at each step, writes a checkpoint, and reports it.

    Metrics: `y`, which is larger at each step; `resumed_at`, the step of the checkpoint that this
    attempt took up, 0 if there was none.

    Args:
        gate: A folder that all hosts share. Each that has begun leaves its name there, and waits
            until there is a file `open`.
        steps: How many.
        seconds: How long each takes.
    """

    metrics = ("y", "resumed_at")

    def __init__(self, gate: str, steps: int, seconds: float) -> None:
        self._gate = gate
        self._steps = steps
        self._seconds = seconds

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        Path(self._gate, socket.gethostname()).touch()
        while not Path(self._gate, "open").exists():
            time.sleep(0.1)
        context.folder.mkdir(parents=True, exist_ok=True)
        checkpoint = context.folder / "checkpoint.json"
        partial = checkpoint.with_suffix(f".{socket.gethostname()}.{os.getpid()}")
        done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
        for step in range(1, self._steps + 1):
            seconds = self._seconds if step > done else 0.0
            time.sleep(seconds)
            if seconds:
                partial.write_text(json.dumps(step))
                partial.replace(checkpoint)
            metrics = {"y": candidate.architecture["x"] * step, "resumed_at": float(done)}
            context.report(Measurement(step, metrics, seconds))
