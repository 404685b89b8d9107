"""What the RayJob runs in a pod before it ends it, run on a host that is to be taken away."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from phylon.events import Completed, Lost
from tests.cluster.hosts import lan
from tests.cluster.servers import RAY_PORT, start_ray
from tests.phylon.on_hosts import Driver, Journal, write_project

RAY_JOB = Path(__file__).parents[2] / "cluster" / "manifests" / "rayjob.yaml"


@pytest.mark.slow
def test_a_pod_gives_its_candidates_back_before_its_time_is_up(tmp_path: Path) -> None:
    job = next(each for each in yaml.safe_load_all(RAY_JOB.read_text()) if each["kind"] == "RayJob")
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    pod = group["template"]["spec"]
    (container,) = pod["containers"]
    command = container["lifecycle"]["preStop"]["exec"]["command"]
    env = {each["name"]: each["value"] for each in container["env"]}
    env.pop("PYTHONPATH")
    project, gate, candidates = tmp_path / "project", tmp_path / "gate", 12
    with lan(2, tmp_path, shared=[project, gate]) as net:
        a, b = net.hosts
        start_ray(a)
        b.popen(
            "ray", "start", f"--address={a.ip}:{RAY_PORT}", f"--node-ip-address={b.ip}", "--block",
            "--num-cpus=1", "--object-store-memory=80000000", log="ray.log", **env,
        )  # fmt: skip
        (gate / "open").touch()
        write_project(
            project, gate, steps=40, resources={"cpus": 0.5}, budget={"candidates": candidates},
            tracking={"uri": "none"},
        )  # fmt: skip
        journal = Journal(project / "studies")
        driver = Driver(a, "phylon", "run", "study.yaml", cwd=project)
        driver.wait_until(lambda: "b" in journal.hosts(), "the pod works")
        begun = time.monotonic()
        b.run(*command)
        assert time.monotonic() - begun < pod["terminationGracePeriodSeconds"] / 2
        left = time.time()
        driver.end()
        journal.check_whole(candidates)
        late = [each for each in journal.of(Completed) if each.time > left + 5]
        assert {each.node.partition("/")[0] for each in late} == {"a"}
        assert all(lost.innocent for lost in journal.of(Lost))
