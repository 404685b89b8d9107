"""Whether an exported network does what the trained one does, run as its users will run it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phylon.errors import EvaluationError

if TYPE_CHECKING:
    from torch import nn

    from phylon.trainables.samples import Samples

TOLERANCE = 1e-4
"""How far outputs may differ, all told."""

# A batch and a single sample, in a process that has nothing but what the folder needs.
_RUN = """
import sys
for name in ("phylon", "pytorch_lightning", "lightning_fabric", "ray", "mlflow"):
    sys.modules[name] = None
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import numpy
from predict import predict
samples = numpy.load(sys.argv[2])
numpy.save(sys.argv[3], numpy.concatenate([predict(samples), predict(samples[:1])]))
"""


def check_parity(folder: Path, network: nn.Module, samples: Samples) -> dict[str, Any]:
    """Return by how much an exported folder's predictions differ from the trained network's.

    Its `predict.py` runs in a process of its own, in which phylon cannot be imported.

    Args:
        folder: What was exported.
        network: The trained network.
        samples: What to compare the two on, as a batch and the first one by itself.

    Raises:
        EvaluationError: They differ by more than `TOLERANCE`, or it does not run.
    """
    import torch

    with torch.inference_mode():
        outputs = torch.cat([network(samples.inputs), network(samples.inputs[:1])]).numpy()
    told = _predictions(folder, samples)
    if told.shape != outputs.shape:
        raise EvaluationError(
            f"the exported network gives outputs of shape {told.shape}, the trained one "
            f"{outputs.shape}; nothing was written. Please report this with the network"
        )
    difference = float(np.abs(told.astype(np.float64) - outputs.astype(np.float64)).max())
    if not difference <= TOLERANCE:
        raise EvaluationError(
            f"the exported network differs from the trained one by {difference:.3g} on "
            f"{len(samples.inputs)} validation samples; allowed: {TOLERANCE:g}. Nothing was "
            f"written; try another --format"
        )
    return {
        "max_abs_difference": difference,
        "tolerance": TOLERANCE,
        "samples": len(samples.inputs),
        "of": "the first validation batch, and its first sample by itself",
        "largest_output": float(np.abs(outputs).max()),
    }


def _predictions(folder: Path, samples: Samples) -> np.ndarray[Any, Any]:
    with tempfile.TemporaryDirectory() as aside:
        given, told = Path(aside) / "samples.npy", Path(aside) / "outputs.npy"
        np.save(given, samples.given.numpy())
        command = [sys.executable, "-c", _RUN, str(folder), str(given), str(told)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
            raise EvaluationError(
                f"the exported network does not run by itself: {reason}; nothing was written; try "
                f"another --format"
            )
        outputs: np.ndarray[Any, Any] = np.load(told)
        return outputs
