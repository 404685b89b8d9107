"""Energy is told where the machine tells it, and never made up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from phylon.cluster.attempts import Ended
from phylon.cluster.energy import EnergyMeter, gpu_counters
from phylon.cluster.executor import Share
from phylon.cluster.team import _together

CORES = os.cpu_count() or 1
SPAN = 262_143_328_850  # microjoules, as Intel's counters have


class Machine:
    """A machine with two packages, of which one tells of its memory, as Linux shows it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        zones = {
            "intel-rapl:0": "package-0",
            "intel-rapl:0:0": "core",
            "intel-rapl:0:1": "dram",
            "intel-rapl:1": "package-1",
            "intel-rapl:2": "psys",
            "intel-rapl-mmio:0": "package-0",
        }
        for folder, name in zones.items():
            (root / folder).mkdir(parents=True)
            (root / folder / "name").write_text(f"{name}\n")
            (root / folder / "max_energy_range_uj").write_text(f"{SPAN}\n")
            self.set(folder, 0)

    def set(self, zone: str, microjoules: int) -> None:
        (self.root / zone / "energy_uj").write_text(f"{microjoules}\n")


def test_a_share_of_what_packages_and_memory_take(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    meter = EnergyMeter(Share(cpus=CORES / 4), "cpu", tmp_path)
    for zone in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:1"):
        machine.set(zone, 8_000_000)
    for counted_elsewhere in ("intel-rapl:0:0", "intel-rapl:2", "intel-rapl-mmio:0"):
        machine.set(counted_elsewhere, 1_000_000_000)
    meter.look()
    assert meter.joules == pytest.approx(24.0 / 4)
    machine.set("intel-rapl:0", 12_000_000)
    meter.look()
    assert meter.joules == pytest.approx(28.0 / 4)


def test_nobody_is_charged_for_more_than_the_machine(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    meter = EnergyMeter(Share(cpus=CORES * 4), "cpu", tmp_path)
    machine.set("intel-rapl:0", 8_000_000)
    meter.look()
    assert meter.joules == pytest.approx(8.0)


def test_a_counter_that_goes_round(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.set("intel-rapl:0", SPAN - 3_000_000)
    meter = EnergyMeter(Share(cpus=CORES), "cpu", tmp_path)
    machine.set("intel-rapl:0", 2_000_000)
    meter.look()
    assert meter.joules == pytest.approx(5.0)


def test_a_counter_that_may_have_gone_round_unseen_tells_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "intel-rapl:1" / "max_energy_range_uj").write_text("1")  # at once
    meter = EnergyMeter(Share(cpus=CORES), "cpu", tmp_path)
    machine.set("intel-rapl:0", 2_000_000)
    meter.look()
    assert meter.joules is None


@pytest.mark.parametrize("content", ["", "no number"])
def test_counters_that_cannot_be_read_tell_nothing(tmp_path: Path, content: str) -> None:
    Machine(tmp_path)
    meter = EnergyMeter(Share(), "cpu", tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text(content)
    meter.look()
    assert meter.joules is None


def test_a_machine_that_does_not_let_us_read_tells_nothing(tmp_path: Path) -> None:
    Machine(tmp_path)
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    meter = EnergyMeter(Share(), "cpu", tmp_path)
    meter.look()
    assert meter.joules is None


@pytest.mark.skipif(bool(gpu_counters()), reason="this machine's GPU tells")
def test_a_gpu_that_does_not_tell_is_not_hidden_behind_the_cpu(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    meter = EnergyMeter(Share(gpus=1.0), "cuda", tmp_path)
    machine.set("intel-rapl:0", 2_000_000)
    meter.look()
    assert meter.joules is None


def test_a_team_took_what_all_of_its_workers_took() -> None:
    told = {0: Ended(1.0, joules=2.0), 1: Ended(1.0, joules=3.0)}
    assert _together(told).joules == 5.0
    assert _together({**told, 2: Ended(1.0)}).joules is None
