"""Nodes that die, are cut off, or join while a study runs on several hosts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from phylon.events import Completed, Lost
from tests.cluster.hosts import lan
from tests.cluster.servers import join_ray, serve_mlflow, start_ray
from tests.phylon.on_hosts import Driver, Gate, Journal, check_mlflow, write_project

JOINS_WITHIN_S = 30


def check_losses(journal: Journal, fault: str, at: float, losses: Sequence[Lost]) -> None:
    """Check that what was lost went on from its checkpoints, and print how soon."""
    assert losses, f"nothing was lost: {fault}"
    for lost in losses:
        journal.check_resumed(lost)
    noticed = [lost.time - at for lost in losses]
    restarted = [journal.restart_of(lost) - at for lost in losses]
    print(
        f"{fault}: {len(losses)} candidates lost, noticed after {min(noticed):.1f} to "
        f"{max(noticed):.1f} s, at work again after {min(restarted):.1f} to {max(restarted):.1f} s"
    )


@pytest.mark.slow
def test_a_vanished_host_costs_no_candidate_and_a_new_one_is_used(tmp_path: Path) -> None:
    project, candidates = tmp_path / "project", 30
    share, budget = {"cpus": 0.5}, {"candidates": candidates}
    with lan(3, tmp_path, shared=[project]) as net:
        a, b, c = net.hosts
        start_ray(a, b)
        changes = {"resources": share, "budget": budget, "tracking": {"uri": "none"}}
        write_project(project, project, steps=6, **changes)
        journal = Journal(project / "studies")
        driver = Driver(a, "phylon", "run", "study.yaml", cwd=project)
        Gate(project).open_for(driver, a, b)
        driver.wait_until(lambda: journal.has(2), "two are completed")
        killed = time.time()
        b.kill()
        join_ray(a, c)
        joined = time.time()
        driver.end()
        journal.check_whole(candidates)
        check_losses(journal, "host killed", killed, journal.of(Lost))
        begun = [each.time - each.seconds for each in journal.of(Completed) if each.node[0] == "c"]
        assert begun, f"the host that joined was not used: {driver.said()}"
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
        changes = {"budget": {"candidates": candidates}, "tracking": tracking}
        write_project(project, project, steps=12, **changes)
        journal = Journal(project / "studies")
        driver = Driver(a, "phylon", "run", "study.yaml", cwd=project)
        Gate(project).open_for(driver, a, b, c)
        driver.wait_until(lambda: journal.has(6), "six are completed")
        killed = time.time()
        b.kill_process("raylet")
        driver.wait_until(lambda: journal.of(Lost), "the death of a raylet is noticed")
        more = len(journal.of(Completed)) + 6
        driver.wait_until(lambda: journal.has(more), "six more are completed")
        killed_ones, cut = journal.of(Lost), time.time()
        net.cut(c)
        driver.end()
        journal.check_whole(candidates)
        assert journal.hosts() == {"a", "b", "c"}
        check_mlflow(net.hub, candidates)
        check_losses(journal, "raylet killed", killed, killed_ones)
        check_losses(journal, "link cut", cut, journal.of(Lost)[len(killed_ones) :])
