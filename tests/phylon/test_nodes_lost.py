"""Nodes that die, are cut off, or join while a study runs on several hosts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from phylon.events import Completed, Lost
from tests.cluster.hosts import lan, wait_until
from tests.cluster.servers import join_ray, serve_mlflow, start_ray
from tests.phylon.on_hosts import Journal, check_mlflow, tail, write_project

JOINS_WITHIN_S = 30


def tell_restarts(journal: Journal, fault: str, at: float, losses: Sequence[Lost]) -> None:
    """Print how long it took until what was lost at that time ran again."""
    noticed = [lost.time - at for lost in losses]
    restarted = [journal.restart_of(lost) - at for lost in losses]
    print(
        f"{fault}: {len(losses)} candidates lost, noticed after {min(noticed):.1f} to "
        f"{max(noticed):.1f} s, at work again after {min(restarted):.1f} to {max(restarted):.1f} s"
    )


def test_a_vanished_host_costs_no_candidate_and_a_new_one_is_used(tmp_path: Path) -> None:
    project, candidates = tmp_path / "project", 30
    share, budget = {"cpus": 0.5}, {"candidates": candidates}
    with lan(3, tmp_path, shared=[project]) as net:
        a, b, c = net.hosts
        start_ray(a, b)
        write_project(project, steps=6, resources=share, budget=budget, tracking={"uri": "none"})
        journal, log = Journal(project / "studies"), a.own / "driver.log"
        driver = a.popen("phylon", "run", "study.yaml", cwd=project, log=log.name)
        wait_until(lambda: journal.hosts() == {"a", "b"}, f"not all hosts work: {tail(log)}")
        killed = time.time()
        b.kill()
        join_ray(a, c)
        joined = time.time()
        assert driver.wait(timeout=200) == 0, tail(log)
        journal.check_whole(candidates)
        tell_restarts(journal, "host killed", killed, journal.of(Lost))
        begun = [each.time - each.seconds for each in journal.of(Completed) if each.node[0] == "c"]
        assert begun, f"the host that joined was not used: {tail(log)}"
        print(f"host joined: used after {min(begun) - joined:.1f} s")
        assert min(begun) < joined + JOINS_WITHIN_S


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_and_a_cut_node_cost_no_candidate(tmp_path: Path) -> None:
    project, candidates = tmp_path / "project", 40
    with lan(3, tmp_path, shared=[project]) as net:
        a, b, c = net.hosts
        tracking = {"uri": serve_mlflow(net.hub)}
        start_ray(a, b, c, gpus=1)
        write_project(project, steps=12, budget={"candidates": candidates}, tracking=tracking)
        journal, log = Journal(project / "studies"), a.own / "driver.log"
        driver = a.popen("phylon", "run", "study.yaml", cwd=project, log=log.name)
        wait_until(lambda: journal.hosts() == {"a", "b", "c"}, f"not all hosts work: {tail(log)}")
        killed = time.time()
        b.kill_process("raylet")
        wait_until(lambda: journal.of(Lost), f"nobody notices the death of a raylet: {tail(log)}")
        journal.wait_for(len(journal.of(Completed)) + 6, driver, log)
        killed_ones, cut = journal.of(Lost), time.time()
        net.cut(c)
        assert driver.wait(timeout=600) == 0, tail(log)
        journal.check_whole(candidates)
        check_mlflow(net.hub, candidates)
        tell_restarts(journal, "raylet killed", killed, killed_ones)
        tell_restarts(journal, "link cut", cut, journal.of(Lost)[len(killed_ones) :])
