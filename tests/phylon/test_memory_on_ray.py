"""Studies on two small nodes of a real Ray; some candidates need more memory than they get."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from phylon import Choice, SearchSpace, Study
from phylon.events import Lost, Outgrew
from phylon.record import Record
from tests.cluster.hungry import Hungry
from tests.phylon.toy import journal

GIB = 2**30
MIB = 2**20
NODE = {"include_dashboard": False, "object_store_memory": 80_000_000}
LARGEST = 5 * GIB // 4
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds memory"),
    pytest.mark.usefixtures("two_nodes"),
]


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="ray-") as scratch:
        head = {**NODE, "num_cpus": 0, "memory": LARGEST // 4, "temp_dir": scratch}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            cluster.add_node(**NODE, num_cpus=2, memory=LARGEST)
        ray.init(cluster.address, logging_level=logging.ERROR, log_to_driver=False)
        yield
        ray.shutdown()
        cluster.shutdown()


def run(storage: Path, needs_mib: list[int], **resources: Any) -> tuple[dict[int, Record], Study]:
    """Run a study with one candidate for each need; return their records by need."""
    study = Study(
        name="hungry",
        task=Hungry(seconds=0.3),
        space=SearchSpace(mib=Choice(*needs_mib)),
        strategy="random",
        objectives=[{"metric": "y", "direction": "maximize"}],
        budget={"candidates": len(needs_mib)},
        resources={"cpus": 0.5, **resources},
        storage=storage,
        tracking={"uri": "none"},
    )
    state = study.run(show_progress=False)
    records = {int(r.candidate.architecture["mib"]): r for r in state.records.values()}
    assert records.keys() == set(needs_mib)
    return records, study


def test_what_outgrows_its_memory_gets_more_and_disturbs_nobody(tmp_path: Path) -> None:
    small, medium, huge = [20, 40, 60, 80, 100, 120], 380, 3000
    least = int(0.3125 * GIB)
    records, study = run(tmp_path, [*small, medium, huge], memory=0.3125)
    promoted = Counter(e.candidate_id for e in journal(study) if isinstance(e, Outgrew))
    assert promoted == {records[medium].id: 1, records[huge].id: 2}
    assert not [event for event in journal(study) if isinstance(event, Lost)]
    for mib in (*small, medium):
        assert records[mib].state == "completed"
        assert records[mib].peak >= mib * MIB
    assert {records[mib].resources["memory"] for mib in small} == {least}
    assert records[medium].outgrew["memory"] == least
    assert records[medium].resources["memory"] == 2 * least
    assert records[huge].state == "failed"
    assert records[huge].reason.startswith("infeasible: needs more than the 1.25 GiB")
    assert len({record.node for record in records.values()}) == 2


@pytest.mark.slow
def test_planned_memory_follows_what_candidates_turn_out_to_need(tmp_path: Path) -> None:
    small, huge = list(range(1, 16)), 3000
    records, _ = run(tmp_path, [*small, huge], memory="auto")
    assert all(records[mib].state == "completed" for mib in small)
    assert records[huge].reason.startswith("infeasible:")
    held = [
        records[mib].resources["memory"] for mib in sorted(small, key=lambda it: records[it].id)
    ]
    assert held[0] > held[-1]
    assert set(held) <= {LARGEST, LARGEST // 2, LARGEST // 4}
