"""A study on Ray: strict order on any number of slots, and signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from phylon import Study
from phylon.cluster.location import Location
from phylon.events import Event, Interrupted, Opened
from phylon.study import read_state
from tests.phylon.toy import journal

PHYLON = Path(sys.executable).parent / "phylon"


def without_circumstances(history: list[Event]) -> list[dict[str, Any]]:
    """Events without times, hosts and process ids."""
    plain = [event.to_json() for event in history if not isinstance(event, Opened)]
    for event in plain:
        for key in ("time", "uid", "seconds", "node", "resources", "config"):
            event.pop(key, None)
        event.get("measurement", {}).pop("seconds", None)
    return plain


def test_strict_order_gives_equal_journals_on_1_2_and_4_slots_of_ray(
    new_study: Callable[..., Study],
) -> None:
    histories = []
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        for cpus in (4.0, 2.0, 1.0):
            study = new_study(
                name=f"slots-{4 / cpus:g}",
                order="strict",
                window=3,
                budget={"candidates": 24},
                final={"top": 2, "epochs": 1, "seeds": 2},
                resources={"cpus": cpus},
            )
            state = study.run(show_progress=False)
            assert state.completed == 28
            histories.append(without_circumstances(journal(study)))
    finally:
        ray.shutdown()
    assert histories[0] == histories[1] == histories[2]


SLOW_TASK = """
    import time
    from phylon import Float, Measurement, SearchSpace

    space = SearchSpace(x=Float(0.0, 1.0))

    class Slow:
        metrics = ("y",)

        def evaluate(self, candidate, context):
            context.report(Measurement(1, {"y": candidate.architecture["x"]}, 0.0))
            time.sleep(0.0 if candidate.id < 4 else 60.0)
            context.report(Measurement(2, {"y": candidate.architecture["x"]}, 0.0))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_everything_saved_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "slow.py").write_text(textwrap.dedent(SLOW_TASK))
    study = {
        "name": "slow",
        "task": "slow:Slow",
        "space": "slow:space",
        "objectives": [{"metric": "y", "direction": "maximize"}],
        "budget": {"candidates": 50},
        "resources": {"cpus": (os.cpu_count() or 1) / 2},
    }
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    driver = subprocess.Popen(
        [PHYLON, "run", "study.yaml"], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    folder = tmp_path / "studies" / "slow"
    deadline = time.monotonic() + 60
    while read_state(Location(folder)).completed < 4 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert Study.open(folder).status() == "running"
    driver.send_signal(number)
    out, err = driver.communicate(timeout=30)
    assert driver.returncode == 130, err
    assert "phylon resume" in out + err
    state = Study.open(folder).state()
    assert isinstance(state.ending, Interrupted)
    assert state.ending.reason == number.name
    assert state.completed == 4
    assert Study.open(folder).status() == "interrupted"
