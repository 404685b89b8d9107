"""A study submitted to a cluster of several hosts: stopped, resubmitted, and without its head."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from phylon.events import Completed, Created, Finished, Interrupted, Opened
from tests.cluster.hosts import Host, lan, wait_until
from tests.cluster.servers import jobs_address, serve_mlflow, start_ray
from tests.phylon.on_hosts import Journal, check_mlflow, write_project

CANDIDATES = 40
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Client:
    """A user at a host that is none of the cluster's, with a project that only it has."""

    def __init__(self, host: Host, storage: Path) -> None:
        self._host = host
        self.journal = Journal(storage)
        self.mlflow = serve_mlflow(host)
        write_project(
            host.own / "project",
            steps=12,
            budget={"candidates": CANDIDATES},
            tracking={"uri": self.mlflow},
            storage=str(storage),
        )

    def phylon(self, *words: str, head: Host) -> str:
        command, *rest = words
        address = ("--address", jobs_address(head))
        return self._host.run("phylon", command, *rest, *address, cwd="/mnt/project")

    def wait_for(self, completed: int, head: Host) -> None:
        """Wait until so many candidates are completed."""
        wait_until(
            lambda: len(self.journal.of(Completed)) >= completed or self.journal.of(Finished),
            f"not {completed} candidates are completed; see {head.own}/ray/session_latest/logs",
        )

    def check_finished(self) -> None:
        self.journal.check_whole(CANDIDATES)
        check_mlflow(self._host, CANDIDATES)
        assert len(self.journal.of(Created)) == 1
        assert self.journal.hosts() > {"b", "c"}


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "studies"


def test_a_stopped_job_goes_on_when_it_is_submitted_again(tmp_path: Path, storage: Path) -> None:
    with lan(3, tmp_path, shared=[storage]) as net:
        a, b, c = net.hosts
        start_ray(a, b, c, gpus=1, dashboard=True)
        client = Client(net.hub, storage)
        said = client.phylon("submit", "study.yaml", head=a)
        (study,) = re.findall(r"submitted (\S+)", said)
        client.wait_for(8, a)
        client.phylon("stop", study, head=a)
        assert len(client.journal.of(Interrupted)) == 1
        client.phylon("submit", "study.yaml", "--wait", head=a)
        assert len(client.journal.of(Opened)) == 2
        client.check_finished()


def test_a_new_head_goes_on_where_the_lost_one_was(tmp_path: Path, storage: Path) -> None:
    with lan(3, tmp_path, shared=[storage]) as net:
        a, b, c = net.hosts
        start_ray(a, b, c, gpus=1, dashboard=True)
        client = Client(net.hub, storage)
        client.phylon("submit", "study.yaml", head=a)
        client.wait_for(8, a)
        a.kill()
        for host in (b, c):
            host.run("ray", "stop", "--force")
        start_ray(b, c, gpus=1, dashboard=True)
        client.phylon("submit", "study.yaml", "--wait", head=b)
        assert not client.journal.of(Interrupted)
        assert len(client.journal.of(Opened)) == 2
        client.check_finished()
