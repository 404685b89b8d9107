"""A study submitted to a cluster of several hosts: stopped, resubmitted, and without its head."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from phylon.events import Completed, Created, Interrupted, Opened
from tests.cluster.hosts import Host, lan
from tests.cluster.servers import jobs_address, serve_mlflow, start_ray
from tests.phylon.on_hosts import Driver, Gate, Journal, check_mlflow, write_project

CANDIDATES = 40
INTERRUPTED = 130
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Client:
    """A user at a host that is none of the cluster's, with a project that only it has."""

    def __init__(self, host: Host, storage: Path) -> None:
        self.journal = Journal(storage)
        self._gate = Gate(storage)
        self._host = host
        write_project(
            host.own / "project",
            storage,
            steps=12,
            budget={"candidates": CANDIDATES},
            tracking={"uri": serve_mlflow(host)},
            storage=str(storage),
        )

    def submit(self, head: Host) -> Driver:
        """Submit the study, and wait for it in another process."""
        command = ["phylon", "submit", "study.yaml", "--wait", "--address", jobs_address(head)]
        return Driver(self._host, *command, cwd="/mnt/project")

    def begin(self, head: Host, *others: Host) -> Driver:
        """Submit the study, and return in the middle of it, with all hosts at work."""
        job = self.submit(head)
        self._gate.open_for(job, head, *others)
        job.wait_until(lambda: self.journal.has(8), "eight are completed")
        return job

    def stop(self, head: Host, job: Driver) -> None:
        (study,) = re.findall(r"submitted (\S+)", job.said())
        self._host.run("phylon", "stop", "--address", jobs_address(head), study)

    def finish(self, head: Host) -> None:
        """Submit the study for the second time, and check what there is at its end."""
        before = list(self.journal.of(Completed))
        self.submit(head).end()
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
        job = client.begin(a, b, c)
        client.stop(a, job)
        job.end(INTERRUPTED)
        assert len(client.journal.of(Interrupted)) == 1
        client.finish(a)


def test_a_new_head_goes_on_where_the_lost_one_was(tmp_path: Path, storage: Path) -> None:
    with lan(3, tmp_path, shared=[storage]) as net:
        a, b, c = net.hosts
        start_ray(a, b, c, gpus=1, dashboard=True)
        client = Client(net.hub, storage)
        client.begin(a, b, c)
        a.kill()
        for host in (b, c):
            host.run("ray", "stop", "--force")
        start_ray(b, c, gpus=1, dashboard=True)
        client.finish(b)
        assert not client.journal.of(Interrupted)
