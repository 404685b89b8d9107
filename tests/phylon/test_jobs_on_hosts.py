"""A study submitted to a cluster of several hosts: stopped, resubmitted, and without its head."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from phylon.events import Completed, Created, Interrupted, Opened
from tests.cluster.hosts import Host, lan
from tests.cluster.servers import jobs_address, serve_mlflow, start_ray
from tests.phylon.on_hosts import Journal, check_mlflow, tail, write_project

CANDIDATES = 40
INTERRUPTED = 130
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Client:
    """A user at a host that is none of the cluster's, with a project that only it has."""

    def __init__(self, host: Host, storage: Path) -> None:
        self.journal = Journal(storage)
        self.log = host.own / "submit.log"
        self._host = host
        write_project(
            host.own / "project",
            steps=12,
            budget={"candidates": CANDIDATES},
            tracking={"uri": serve_mlflow(host)},
            storage=str(storage),
        )

    def submit(self, head: Host) -> subprocess.Popen[bytes]:
        """Submit the study; what is returned ends when it does."""
        command = ["phylon", "submit", "study.yaml", "--wait", "--address", jobs_address(head)]
        return self._host.popen(*command, cwd="/mnt/project", log=self.log.name)

    def stop(self, head: Host) -> None:
        (study,) = set(re.findall(r"submitted (\S+)", self.log.read_text()))
        self._host.run("phylon", "stop", "--address", jobs_address(head), study)

    def finish(self, head: Host) -> None:
        """Submit the study for the second time, and check what there is at its end."""
        before = list(self.journal.of(Completed))
        assert self.submit(head).wait(timeout=600) == 0, tail(self.log)
        assert self.journal.of(Completed)[: len(before)] == before
        self.journal.check_whole(CANDIDATES)
        check_mlflow(self._host, CANDIDATES)
        assert len(self.journal.of(Created)) == 1
        assert len(self.journal.of(Opened)) == 2
        assert self.journal.hosts() >= {"b", "c"}


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "studies"


def test_a_stopped_job_goes_on_when_it_is_submitted_again(tmp_path: Path, storage: Path) -> None:
    with lan(3, tmp_path, shared=[storage]) as net:
        a, b, c = net.hosts
        start_ray(a, b, c, gpus=1, dashboard=True)
        client = Client(net.hub, storage)
        job = client.submit(a)
        client.journal.wait_for(8, job, client.log)
        client.stop(a)
        assert job.wait(timeout=60) == INTERRUPTED, tail(client.log)
        assert len(client.journal.of(Interrupted)) == 1
        client.finish(a)


def test_a_new_head_goes_on_where_the_lost_one_was(tmp_path: Path, storage: Path) -> None:
    with lan(3, tmp_path, shared=[storage]) as net:
        a, b, c = net.hosts
        start_ray(a, b, c, gpus=1, dashboard=True)
        client = Client(net.hub, storage)
        client.journal.wait_for(8, client.submit(a), client.log)
        a.kill()
        for host in (b, c):
            host.run("ray", "stop", "--force")
        start_ray(b, c, gpus=1, dashboard=True)
        client.finish(b)
        assert not client.journal.of(Interrupted)
