"""The batch script for SLURM, on a host where SLURM's commands run what they are given there."""

from __future__ import annotations

from pathlib import Path

import pytest

from phylon.events import Completed, Finished, Interrupted
from tests.cluster.hosts import Host, lan, wait_until
from tests.phylon.on_hosts import Journal, write_project

SCRIPT = Path(__file__).parents[2] / "cluster" / "manifests" / "slurm.sh"
COMMANDS = {
    "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
    "scontrol": 'if [[ $1 == show ]]; then echo "$HEAD"; else echo "$@" >> /mnt/asked; fi',
}


def submit(host: Host, project: Path, commands: Path) -> None:
    slurm = {"SLURM_JOB_NODELIST": host.ip, "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_ID": "417"}
    host.popen(
        "bash", SCRIPT, "study.yaml", cwd=project, HEAD=host.ip, SLURM_CPUS_PER_TASK="2",
        PATH=f"{commands}:{host.env['PATH']}", **slurm,
    )  # fmt: skip


@pytest.mark.slow
def test_a_study_goes_on_in_the_next_allocation(tmp_path: Path) -> None:
    project, commands, gate = tmp_path / "project", tmp_path / "commands", tmp_path / "gate"
    commands.mkdir()
    for name, body in COMMANDS.items():
        (commands / name).write_text(f"#!/bin/bash\n{body}\n")
        (commands / name).chmod(0o755)
    gate.mkdir()
    (gate / "open").touch()
    write_project(
        project, gate, steps=2, budget={"candidates": 12}, tracking={"uri": "none"},
        storage=str(project / "studies"), resources={"cpus": 1},
    )  # fmt: skip
    with lan(1, tmp_path, shared=[project, commands, gate]) as net:
        (host,) = net.hosts
        journal = Journal(project / "studies")
        submit(host, project, commands)
        wait_until(lambda: len(journal.of(Completed)) >= 3, f"three candidates\n{host.log()}")
        host.run("pkill", "-USR1", "-f", f"^bash {SCRIPT}")
        wait_until((host.own / "asked").exists, "the job is queued again")
        assert (host.own / "asked").read_text() == "requeue 417\n"
        assert len(journal.of(Interrupted)) == 1
        assert 3 <= len(journal.of(Completed)) < 12

        wait_until(lambda: len(host.processes()) == 1, "nothing of Ray is left")
        submit(host, project, commands)
        wait_until(lambda: journal.of(Finished), f"the end of the study\n{host.log()}")
        assert len({event.candidate_id for event in journal.of(Completed)}) == 12
        assert len(journal.of(Completed)) == 12
