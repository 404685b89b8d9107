"""Records a table of a flat mixed space: every one of its networks, trained on digits.

    python benchmarks/record_digits.py TABLE.parquet

The space mixes choices, integers and floats, which are levels so that there are 1,080
architectures: block, kernel, width, depth, activation, learning rate and dropout of a network with
two equal stages. Two epochs each leave differences to search for. Takes about ten minutes on one
core. What was trained is kept beside the table until that is written, so that the command can be
stopped and given again.

Columns: `val_accuracy` is for the search to see, `test_accuracy` (fractions in [0, 1]), `params`,
`macs` and `seconds` of training.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from phylon.bench_table import write_table
from phylon.search import (
    Architecture,
    Candidate,
    Choice,
    Context,
    Float,
    Integer,
    Measurement,
    SearchSpace,
    candidate_seed,
)
from phylon.trainables import LightningEvaluator, Training, digits

EPOCHS = 2
BATCH_SIZE = 64
SEED = 0
WEIGHT_DECAY = 1e-3
SPACE = SearchSpace(
    block=Choice("plain", "residual", "separable"),
    kernel=Choice(3, 5),
    width=Integer(8, 24, step=8),
    depth=Integer(1, 2),
    activation=Choice("relu", "gelu"),
    learning_rate=Float(1e-3, 1e-1, log=True, levels=5),
    dropout=Float(0.0, 0.5, levels=3),
)


def main() -> None:
    table = Path(sys.argv[1])
    kept = table.with_suffix(".part")
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    evaluator = LightningEvaluator(digits(), Training(EPOCHS, BATCH_SIZE), SEED)
    architectures = list(SPACE.enumerate())
    with kept.open("a") as file:
        for index in range(len(rows), len(architectures)):
            rows.append(measured(evaluator, index, architectures[index]))
            print(json.dumps(rows[-1]), file=file, flush=True)
            print(f"{index + 1} of {len(architectures)}: {rows[-1]}")
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    write_table(table, SPACE, architectures, columns)
    kept.unlink()


def measured(
    evaluator: LightningEvaluator, index: int, architecture: Architecture
) -> dict[str, float]:
    """Train and test one network, from weights that are its own."""
    candidate = Candidate(index, network(architecture), seed=candidate_seed(SEED, index))
    measurements: list[Measurement] = []
    with tempfile.TemporaryDirectory() as folder:
        context = Context(Path(folder), measurements.append)
        evaluator.evaluate(candidate, context)
        tested = evaluator.test(candidate, context)
    names = ("val_accuracy", "params", "macs")
    return {
        **{name: measurements[-1].metrics[name] for name in names},
        "test_accuracy": tested["test_accuracy"],
        "seconds": sum(measurement.seconds for measurement in measurements),
    }


def network(architecture: Architecture) -> Architecture:
    """Return the architecture of the macro space that a flat one stands for."""
    flat = architecture.nested
    stage = {
        "block": {"type": flat["block"], "kernel": flat["kernel"]},
        "depth": flat["depth"],
        "width": flat["width"],
        "pooling": "max",
    }
    shared = {name: flat[name] for name in ("activation", "dropout", "learning_rate")}
    return Architecture({"stages": [stage, stage], **shared, "weight_decay": WEIGHT_DECAY})


if __name__ == "__main__":
    main()
