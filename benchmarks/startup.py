"""Seconds until `phylon --help` has answered.

    python benchmarks/startup.py

The median of five processes, after one to warm up.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMAND = [str(Path(sys.executable).with_name("phylon")), "--help"]
RUNS = 5


def main() -> None:
    seconds()
    times = [seconds() for _ in range(RUNS)]
    print(
        f"phylon --help: {statistics.median(times):.3f} s, from {min(times):.3f} to "
        f"{max(times):.3f} (wanted: at most 0.5)"
    )


def seconds() -> float:
    begin = time.perf_counter()
    subprocess.run(COMMAND, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
