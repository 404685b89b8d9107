"""A study on hosts that share nothing but an object store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typing_extensions import override

from phylon.events import Completed, Created, Event, Opened
from tests.cluster.hosts import Host, lan
from tests.cluster.servers import serve_mlflow, serve_s3, start_ray
from tests.phylon.on_hosts import NAME, Driver, Gate, Journal, check_mlflow, write_project

CANDIDATES = 40
REFUSED = 2
READ = """
import json, sys
from phylon.cluster.location import Location
from phylon.journal import JournalReader
place = Location(sys.argv[1]) / sys.argv[2] / "journal"
for event in JournalReader(place.filesystem, place.path).read():
    print(json.dumps(event.to_json()))
"""


class DistantJournal(Journal):
    """The journal of the study on storage that only the hosts can reach."""

    def __init__(self, host: Host, storage: str) -> None:
        self._host = host
        self._storage = storage

    @override
    def events(self) -> list[Event]:
        lines = self._host.run("python", "-c", READ, self._storage, NAME).splitlines()
        return [Event.from_json(json.loads(line)) for line in lines]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_hosts_that_share_an_object_store_only(tmp_path: Path) -> None:
    command = ("phylon", "run", "study.yaml", "--resume")
    gate = tmp_path / "gate"
    with lan(3, tmp_path, shared=[gate]) as net:
        a, b, c = net.hosts
        storage = serve_s3(net.hub, *net.hosts)
        tracking = {"uri": serve_mlflow(net.hub)}
        start_ray(a, b, c, gpus=1)
        for host in net.hosts:
            write_project(
                host.own / "project",
                gate,
                steps=12,
                budget={"candidates": CANDIDATES},
                tracking=tracking,
                storage=storage,
            )
        journal = DistantJournal(net.hub, storage)
        first = Driver(a, *command, cwd="/mnt/project")
        Gate(gate).open_for(first, a, b, c)
        first.wait_until(lambda: journal.has(8), "8 are completed")
        first.kill()
        before = journal.of(Completed)
        drivers = [Driver(host, *command, cwd="/mnt/project") for host in (b, c)]
        codes = sorted(driver.end(code=None) for driver in drivers)
        assert codes == [0, REFUSED], [driver.said() for driver in drivers]
        journal.check_whole(CANDIDATES)
        check_mlflow(net.hub, CANDIDATES)
        assert journal.hosts() == {"a", "b", "c"}
        assert len(journal.of(Created)) == 1
        assert [event.host for event in journal.of(Opened)][1:] in (["b"], ["c"])
        assert journal.of(Completed)[: len(before)] == before
