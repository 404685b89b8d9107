"""A toy study that takes no time."""

from __future__ import annotations

import dataclasses
from typing import Any

from pyarrow import fs

from phylon import Candidate, Choice, Context, Float, Measurement, SearchSpace, Study
from phylon.events import Event
from phylon.journal import JournalReader

SPACE = SearchSpace(x=Float(0.0, 1.0), kind=Choice("a", "b"))


@dataclasses.dataclass
class Toy:
    """Reports twice; what it measures follows from the candidate alone."""

    fails: bool = False
    metrics: tuple[str, ...] = ("y", "z")

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        if self.fails:
            raise RuntimeError("no luck")
        context.folder.mkdir(parents=True, exist_ok=True)
        (context.folder / "weights").write_text(str(candidate.id))
        noise = candidate.seed % 1000 / 1e6
        for step in (1, 2):
            y = candidate.architecture["x"] * step + noise
            context.report(Measurement(step, {"y": y, "z": -y}, 0.0))

    def test(self, candidate: Candidate, context: Context) -> dict[str, float]:
        assert (context.folder / "weights").read_text() == str(candidate.id)
        return {"test_y": candidate.architecture["x"]}


def run(study: Study, *, resume: bool = False) -> Any:
    return study.run(resume=resume, in_process=True, show_progress=False)


def journal(study: Study) -> list[Event]:
    return list(JournalReader(fs.LocalFileSystem(), str(study.folder / "journal")).read())
