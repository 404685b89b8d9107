"""What `make demo` reaches and in what time, for several seeds.

    python benchmarks/demo.py [SEED ...]

Runs examples/digits.yaml, each time in a process and a folder of its own; seeds 1, 2 and 3 unless
told. The search's seconds run from the driver's first event to the end of the last candidate of the
search; Ray's start is before them, the final trainings are after them.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pyarrow import fs

from phylon import events
from phylon.journal import JournalReader
from phylon.state import StudyState

EXAMPLE = Path(__file__).parents[1] / "examples" / "digits.yaml"
PHYLON = str(Path(sys.executable).with_name("phylon"))


def main() -> None:
    seeds = [int(word) for word in sys.argv[1:]] or [1, 2, 3]
    accuracies = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as storage:
            begin = time.perf_counter()
            settings = [f"--set=storage={storage}", f"--set=seed={seed}"]
            subprocess.run([PHYLON, "run", str(EXAMPLE), *settings], check=True, cwd=storage)
            wall = time.perf_counter() - begin
            accuracies.append(tell(seed, Path(storage) / "digits" / "journal", wall))
    print(
        f"test accuracy, mean of seeds {seeds}: {statistics.fmean(accuracies):.4f}, from "
        f"{min(accuracies):.4f} to {max(accuracies):.4f}"
    )


def tell(seed: int, journal: Path, wall: float) -> float:
    """Print what a study reached; return its test accuracy, the mean over the final seeds."""
    history = list(JournalReader(fs.LocalFileSystem(), str(journal)).read())
    state = StudyState(history)
    begun = next(event.time for event in history if isinstance(event, events.Opened))
    search = [r for r in state.records.values() if r.candidate.phase == "search"]
    seconds = max(record.ended or 0.0 for record in search) - begun
    best = state.ranking("search")[0].metrics["val_accuracy"]
    failed = sum(record.state == "failed" for record in search)
    assert state.tested is not None
    tests = state.tested.metrics["test_accuracy"]
    mean, spread = statistics.fmean(tests), statistics.stdev(tests)
    print(
        f"seed {seed}: search {seconds:.0f} s (wanted: at most 180), {len(search)} candidates "
        f"(wanted: at least 24), {failed} failed, best validation accuracy {best:.4f} (wanted: at "
        f"least 0.97), test accuracy {mean:.4f} ± {spread:.4f} over {len(tests)} trainings, "
        f"{wall:.0f} s in all"
    )
    return mean


if __name__ == "__main__":
    main()
