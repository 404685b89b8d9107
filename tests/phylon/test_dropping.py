"""Weights are kept for who may inherit them, and dropped before they are removed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
import pytest
from safetensors.numpy import save_file

from phylon import Candidate, Context, Measurement, Study, events
from phylon.parts import Parts
from phylon.search.architecture import Architecture
from phylon.search.evaluation import WEIGHTS_FILE
from phylon.state import StudyState
from tests.phylon.slots import CREATED
from tests.phylon.toy import SPACE, journal, run

POPULATION = 4
NewStudy = Callable[..., Study]


@dataclass
class Heir:
    """Begins with the weights of its parent, which must be there, and leaves its own.

    Attributes:
        watch: Called with the study's folder of candidates before the weights are written.
        trained: Who was, in this process.
    """

    watch: Callable[[Path], None] = lambda _: None
    trained: list[int] = field(default_factory=list)
    metrics: tuple[str, ...] = ("y",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        before = 0.0
        if candidate.inherit_from is not None:
            (total,) = context.weights(candidate.inherit_from).arrays.values()
            before = float(total[0])
        self.watch(context.folder.parent)
        self.trained.append(candidate.id)
        publish(context.folder, before + candidate.architecture["x"])
        y = candidate.architecture["x"] + candidate.seed % 1000 / 1e6
        context.report(Measurement(1, {"y": y}, 0.0, WEIGHTS_FILE))


def publish(folder: Path, total: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"total": np.array([total])}, folder / WEIGHTS_FILE)


@pytest.fixture
def new_family(new_study: NewStudy) -> NewStudy:
    """Makes studies whose candidates inherit, though no network is trained."""

    def build(evaluator: Heir, **fields: object) -> Study:
        own = {"name": "regularized_evolution", "population": POPULATION, "sample": 2}
        own |= {"repeats": True, "inherit": True}
        study = new_study(evaluator, **{"strategy": own, **fields})
        study.parts = Parts(evaluator, SPACE)
        return study

    return build


def kept(study: Study) -> set[int]:
    return {int(path.name) for path in (study.folder / "candidates").iterdir()}


def dropped(study: Study) -> list[int]:
    return [n for e in journal(study) if isinstance(e, events.Dropped) for n in e.candidate_ids]


# --- how much there is


@pytest.mark.parametrize(
    "generations", [20, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
def test_there_are_never_more_weights_than_those_of_the_population_and_two(
    new_family: NewStudy, generations: int
) -> None:
    """The two are those of the best and of the candidate that has just been trained."""
    most = 0

    def count(folder: Path) -> None:
        nonlocal most
        deadline = time.monotonic() + 10.0
        while (there := len(list(folder.glob(f"*/{WEIGHTS_FILE}")))) > POPULATION + 1:
            assert time.monotonic() < deadline, f"{there} are not removed"
            time.sleep(0.001)
        most = max(most, there)

    study = new_family(Heir(count), budget={"candidates": POPULATION * generations})
    state = run(study)
    assert state.completed == POPULATION * generations
    assert most >= POPULATION
    assert max(r.candidate.generation for r in state.records.values()) > generations // 2
    everybody = range(POPULATION * generations)
    needed = {state.best.id, *everybody[-POPULATION:]}  # the budget may still be raised
    assert kept(study) == needed
    assert sorted(dropped(study)) == sorted(set(everybody) - needed)
    assert {number for number in everybody if state.records[number].has_weights} == kept(study)


def test_the_journal_tells_of_every_folder_that_is_gone(new_family: NewStudy) -> None:
    checked = 0

    def compare(folder: Path) -> None:
        nonlocal checked
        there = {
            int(path.parent.name) for path in folder.glob(f"*/{WEIGHTS_FILE}")
        }  # before it is read
        state = StudyState(journal(study))
        measured = {r.id for r in state.records.values() if r.state == "completed"}
        assert measured - there <= set(dropped(study))
        checked += len(measured - there)

    final = {"top": 2, "epochs": 3, "seeds": 2}
    study = new_family(Heir(compare), budget={"candidates": 40}, final=final)
    state = run(study)
    assert checked > 100
    assert kept(study) == {r.id for r in state.ranking("search")[:2]} | {40, 41, 42, 43}


# --- drivers that die


@pytest.mark.parametrize("order", ["free", "strict"])
@pytest.mark.parametrize("is_old", [False, True], ids=["told", "as before it was told"])
def test_a_driver_may_die_at_any_event_before_it_has_removed_anything(
    new_family: NewStudy, tmp_path: Path, order: str, is_old: bool
) -> None:
    """What it left is removed, nobody's weights are missing, and all ends as without its death."""
    fields = {"order": order, "window": 2, "budget": {"candidates": 24}}
    whole = new_family(Heir(), name="whole", **fields)
    expected = run(whole)
    (segment,) = (whole.folder / "journal").glob("*.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)
    if is_old:
        lines = [line for line in lines if b'"event":"Dropped"' not in line]
    for cut in Random(0).sample(range(2, len(lines) - 1), 6):
        study = new_family(Heir(), name="whole", storage=str(tmp_path / str(cut)), **fields)
        (study.folder / "journal").mkdir(parents=True)
        (study.folder / "journal" / segment.name).write_bytes(b"".join(lines[:cut]))
        left = StudyState(journal(study))
        for number in left.records:
            publish(study.folder / "candidates" / str(number), 0.0)
        state = run(study, resume=True)
        assert (state.completed, state.failed) == (24, 0)
        assert kept(study) == kept(whole)
        assert sorted(dropped(study)) == sorted(dropped(whole))
        assert [r.candidate for r in state.records.values()] == [
            r.candidate for r in expected.records.values()
        ]


def test_what_a_driver_did_not_come_to_remove_at_the_end_goes_when_the_study_is_resumed(
    new_family: NewStudy,
) -> None:
    study = new_family(Heir(), budget={"candidates": 12})
    run(study)
    left, needed = sorted(dropped(study)), kept(study)
    (segment,) = (study.folder / "journal").glob("*.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(line for line in lines if b'"event":"Dropped"' not in line))
    for number in left:
        publish(study.folder / "candidates" / str(number), 0.0)
    for _ in range(2):
        state = run(study, resume=True)
        assert isinstance(state.ending, events.Finished)
        assert kept(study) == needed
        assert sorted(dropped(study)) == left


# --- what a record tells


def test_a_record_tells_what_can_be_inherited_and_what_is_to_be_known() -> None:
    state = StudyState([CREATED])
    state.apply(events.Proposed(candidate=Candidate(0, Architecture({}))))
    for step, checkpoint, note, has_files, has_weights in (
        (1, None, "began with random weights", False, False),
        (2, "last.ckpt", "", True, False),
        (3, WEIGHTS_FILE, "", True, True),
        (4, None, "its weights could not be written", True, False),
    ):
        measurement = Measurement(step, {"y": 0.5}, 0.0, checkpoint, note)
        state.apply(events.Reported(candidate_id=0, measurement=measurement))
        record = state.records[0]
        assert (record.has_files, record.has_weights) == (has_files, has_weights)
    assert record.note == "began with random weights; its weights could not be written"
    state.apply(events.Dropped(candidate_ids=[0]))
    assert not record.has_files
