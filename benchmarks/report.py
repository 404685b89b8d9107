"""What a report costs: seconds to build, bytes, and how soon a browser shows it.

Studies of 1,000 and of 10,000 candidates are made up, and reported by a process of its own, as
`phylon report` does it; seconds are of its processor, imports included, since others may use the
machine too. Chromium then opens the file from disk, once for each line: the first paint, and when
the last figure was drawn, in seconds of the clock since the navigation began.

    python -m benchmarks.report
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.phylon.big_study import big_study
from tests.phylon.browser import chromium, eventually

SIZES = (1_000, 10_000)
OPENINGS = 3
_TIMES = """
const at = (name) => performance.getEntriesByName(name)[0].startTime / 1000
return [at("first-paint"), at("drawn")]
"""


def main() -> None:
    for candidates in SIZES:
        with tempfile.TemporaryDirectory() as scratch:
            measure(Path(scratch), candidates)


def measure(folder: Path, candidates: int) -> None:
    """Report on one study, and print what that took."""
    location = big_study(folder, candidates, objectives=2)
    page = folder / "report.html"
    command = [sys.executable, "-m", "phylon", "report", str(location), "--out", str(page)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    print(
        f"{candidates:,} candidates: {processor:.1f} s of the processor ({wall:.1f} s in all), "
        f"{page.stat().st_size / 1e6:.2f} MB",
        flush=True,
    )
    try:
        open_(page, folder / "profile")
    except pytest.skip.Exception as reason:
        print(f"  not opened: {reason}")


def open_(page: Path, profile: Path) -> None:
    """Open a page in Chromium, and print how soon it was there."""
    with chromium(profile) as chrome:
        for _ in range(OPENINGS):
            chrome.get(page.as_uri())
            eventually(lambda: chrome.execute_script("return document.body.dataset.drawn"), "page")
            paint, drawn = chrome.execute_script(_TIMES)
            print(f"  first paint {paint:.2f} s, all drawn {drawn:.2f} s", flush=True)


if __name__ == "__main__":
    main()
