"""What nodes are, asked of real ones: other versions, another phylon, a folder not mounted."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import ray

from phylon.cluster import census
from phylon.cluster.census import take_census
from phylon.cluster.local_nodes import NodeProcess, end_nodes
from phylon.cluster.location import Location
from phylon.errors import ClusterError, ConfigurationError

START = [
    sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=3", "--num-gpus=2",
    "--memory=1000000000", "--object-store-memory=80000000", "--dashboard-agent-listen-port=0",
    "--min-worker-port=0", "--max-worker-port=0",
]  # fmt: skip
MIB = 2**20

AddNode = Callable[..., AbstractContextManager[psutil.Process]]


def living() -> int:
    return sum(node["Alive"] for node in ray.nodes())


@pytest.fixture(scope="module")
def add_node() -> Iterator[AddNode]:
    """Connect to a cluster, and return what adds a node to it for a while."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as scratch:
        ray.init(
            address="local", num_cpus=1, include_dashboard=False, logging_level=logging.ERROR,
            log_to_driver=False, object_store_memory=80 * MIB, _temp_dir=scratch,
        )  # fmt: skip

        @contextmanager
        def add(within: Sequence[str] = (), **environment: str) -> Iterator[psutil.Process]:
            folder = tempfile.mkdtemp(dir=scratch)
            where = [f"--address={ray.get_runtime_context().gcs_address}", f"--temp-dir={folder}"]
            before = living()
            with (Path(folder) / "log").open("wb") as log:
                process = subprocess.Popen(
                    [*within, *START, *where], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True,
                    env={**os.environ, **environment, "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"},
                )  # fmt: skip
            try:
                wait_for(lambda: living() > before)
                yield psutil.Process(process.pid)
            finally:
                end_nodes([NodeProcess(process.pid, psutil.Process(process.pid).create_time())])
                process.wait()
                wait_for(lambda: living() == before)

        yield add
        ray.shutdown()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def claim(folder: Path, package: str, version: str) -> None:
    """Have Python believe that another version of a package is installed."""
    info = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")


def test_nodes_are_told_with_what_they_have(tmp_path: Path, add_node: AddNode) -> None:
    with add_node():
        nodes = {node.cpus: node for node in take_census(Location(tmp_path / "studies"))}
    assert sorted(nodes) == [1.0, 3.0]
    guest = nodes[3.0]
    assert (guest.gpus, guest.gpu_memory) == (2.0, 0)
    assert guest.memory == 1_000_000_000
    assert guest.host == os.uname().nodename
    assert len({node.id for node in nodes.values()}) == 2
    assert not list(tmp_path.glob("studies/*"))


@pytest.mark.usefixtures("add_node")
def test_a_cluster_of_this_node_alone_is_not_questioned(tmp_path: Path) -> None:
    (node,) = take_census(Location(tmp_path / "studies"))
    assert node.id == ray.get_runtime_context().get_node_id()
    assert node.cpus == 1.0
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may hide a folder from a process")
@pytest.mark.parametrize("hidden", ["mnt", "mnt/studies"], ids=["no such folder", "another one"])
def test_a_folder_that_only_the_driver_sees_is_refused(
    tmp_path: Path, add_node: AddNode, hidden: str
) -> None:
    storage = tmp_path / "mnt" / "studies"
    storage.mkdir(parents=True)
    hide = f'mount -t tmpfs none {tmp_path / hidden} && exec "$@"'
    with add_node(["unshare", "--mount", "sh", "-c", hide, "sh"]):
        with pytest.raises(ConfigurationError) as raised:
            take_census(Location(storage))
        told = str(raised.value)
    host = os.uname().nodename
    assert told.startswith(f"storage: {storage} is seen by the driver on {host}, but node {host} (")
    assert told.endswith("mount one folder on all nodes, or use s3://BUCKET/FOLDER")
    assert not list(storage.iterdir())


def test_other_versions_are_refused_or_told(
    tmp_path: Path, add_node: AddNode, caplog: pytest.LogCaptureFixture
) -> None:
    claim(tmp_path / "site", "torch", "1.0.0")
    claim(tmp_path / "site", "pytorch-lightning", "2.6.99")
    with (
        add_node(PYTHONPATH=str(tmp_path / "site")),
        pytest.raises(ConfigurationError, match=r"has torch 1\.0\.0, the driver on .* install the"),
    ):
        take_census(Location(tmp_path))
    assert "has pytorch-lightning 2.6.99, the driver has" in caplog.text


def test_another_phylon_is_refused_though_its_version_is_the_same(
    tmp_path: Path, add_node: AddNode
) -> None:
    for name in ("phylon", "phylon.search", "phylon.trainables", "phylon.cluster"):
        spec = find_spec(name)
        assert spec
        assert spec.origin
        target = tmp_path / "site" / name.replace(".", "/")
        shutil.copytree(Path(spec.origin).parent, target, ignore=shutil.ignore_patterns("*.pyc"))
    with (tmp_path / "site" / "phylon" / "search" / "random_search.py").open("a") as file:
        file.write("# by another hand\n")
    with (
        add_node(PYTHONPATH=str(tmp_path / "site")),
        pytest.raises(ConfigurationError, match=r"another source of phylon .*`phylon submit` brin"),
    ):
        take_census(Location(tmp_path / "studies"))


@pytest.mark.slow
def test_a_cluster_of_which_no_node_answers_is_said_to_be_none(
    tmp_path: Path, add_node: AddNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "PATIENCE_S", 0.0)
    with add_node(), pytest.raises(ClusterError, match="none of the cluster's 2 nodes answers"):
        take_census(Location(tmp_path))


@pytest.mark.slow
def test_a_node_that_does_not_answer_is_left_out(
    tmp_path: Path,
    add_node: AddNode,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(census, "PATIENCE_S", 5.0)
    with add_node() as leader:
        raylets = [each for each in leader.children() if each.name() == "raylet"]
        for raylet in raylets:
            raylet.send_signal(signal.SIGSTOP)
        assert [node.cpus for node in take_census(Location(tmp_path))] == [1.0]
        for raylet in raylets:
            raylet.send_signal(signal.SIGCONT)
    assert "does not answer" in caplog.text
