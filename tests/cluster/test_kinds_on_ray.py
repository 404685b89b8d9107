"""Candidates of several kinds on a real Ray with one GPU: who runs beside whom."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.weights import Scoring
from phylon.cluster import TuneExecutor
from phylon.cluster.executor import Share
from phylon.cluster.location import Location
from phylon.cluster.shares import FixedShares, PhasedShares
from phylon.search import Architecture, Candidate, Context, Measurement

pytestmark = pytest.mark.usefixtures("ray_with_one_gpu")


@dataclass
class Meeting:
    """Ends no candidate before so many have begun: all that are meant to run at the same time."""

    folder: Path
    number: int
    metrics: tuple[str, ...] = ("y",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        (self.folder / str(candidate.id)).touch()
        while len(list(self.folder.iterdir())) < self.number:  # pytest's own timeout is the limit
            time.sleep(0.05)
        context.report(Measurement(1, {"y": 1.0}, 0.0))


def scored(number: int) -> Candidate:
    return Candidate(number, Architecture({"x": number}), epochs=0, inherit_from=0)


def meet(folder: Path, candidates: list[Candidate], supernet: float, scoring: float) -> Scoring:
    meeting = folder / "meeting"
    meeting.mkdir()
    study = Scoring(candidates)
    shares = PhasedShares(
        FixedShares(Share(0.5, supernet), largest=0),
        FixedShares(Share(0.5, scoring), largest=0),
        FixedShares(Share(1.0, 1.0), largest=0),
    )
    TuneExecutor(Location(folder), shares).run(study, Meeting(meeting, len(candidates)))
    return study


def test_a_supernet_on_half_a_gpu_leaves_room_for_four_that_score(tmp_path: Path) -> None:
    supernet = Candidate(0, Architecture({}), phase="supernet")
    study = meet(tmp_path, [supernet, *map(scored, range(1, 5))], supernet=0.5, scoring=0.125)
    assert sorted(study.values) == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_four_that_score_share_a_gpu(tmp_path: Path) -> None:
    study = meet(tmp_path, [scored(number) for number in range(1, 5)], supernet=1.0, scoring=0.25)
    assert sorted(study.values) == [1, 2, 3, 4]
