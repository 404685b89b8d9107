"""A winner whose weights could not be written: its study ends all the same, and says why."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest
from pytorch_lightning import LightningDataModule
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import DataLoader

from phylon import Architecture, Study, events
from phylon.errors import EvaluationError
from phylon.leaderboard import overview
from phylon.models import best_models
from phylon.trainables.folder import CandidateFolder
from tests.phylon.own_lines import SPACE, Lines, LinesData, LinesTask
from tests.phylon.toy import run

NewStudy = Callable[..., Study]


class LinesWithTest(Lines):
    """Is tested on what it was validated on."""

    def test_step(self, batch: list[Tensor], *_: int) -> None:
        self.log("test_loss", self.training_step(batch, 0))


class DataWithTest(LinesData):
    def test_dataloader(self) -> DataLoader[Any]:
        return self.val_dataloader()


class TaskWithTest(LinesTask):
    def build(self, architecture: Architecture) -> nn.Module:
        return LinesWithTest(architecture["width"])

    def datamodule(self, _seed: int, batch_size: int) -> LightningDataModule:
        return DataWithTest(batch_size)


@pytest.fixture
def fill_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the weights of these candidates not be written."""

    def fill(*numbers: int) -> None:
        save = CandidateFolder.save_weights

        def refuse(folder: CandidateFolder, *rest: Any) -> None:
            if int(folder.path.name) in numbers:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            save(folder, *rest)

        monkeypatch.setattr(CandidateFolder, "save_weights", refuse)

    return fill


@pytest.fixture
def new_lines(new_study: NewStudy) -> NewStudy:
    def build(**fields: Any) -> Study:
        settings = {
            "objectives": [{"metric": "val_loss", "direction": "minimize"}],
            "strategy": "random",
            "training": {"epochs": 1, "batch_size": 16},
            "budget": {"candidates": 1},
        }
        return new_study(TaskWithTest(), SPACE, **{**settings, **fields})

    return build


def shown(study: Study) -> str:
    console = Console(width=150)
    with console.capture() as capture:
        console.print(overview(study.state(), study.location, "finished"))
    return capture.get()


def test_it_is_not_tested_and_everybody_is_told_why(
    new_lines: NewStudy, fill_disk: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    study = new_lines()
    fill_disk(0)
    state = run(study)
    assert isinstance(state.ending, events.Finished)
    assert (state.best.id, state.tested) == (0, None)
    words = "its weights could not be written: [Errno 28] No space left on device"
    assert f"candidate 0 is not tested: {words}" in caplog.text
    assert f"Candidate 0: {words}" in shown(study)
    assert list(best_models(study, state)) == []


def test_the_other_trainings_of_the_winner_are_tested(
    new_lines: NewStudy, fill_disk: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    study = new_lines(final={"top": 1, "epochs": 1, "seeds": 3})
    fill_disk(2)
    state = run(study)
    assert [record.id for record in state.winners()] == [1, 2, 3]
    assert state.tested.candidate_ids == [1, 3]
    assert len(state.tested.metrics["test_loss"]) == 2
    assert "candidate 2 is not tested" in caplog.text
    assert "test_loss" in shown(study)


def test_weights_that_were_written_and_are_gone_are_an_error(new_lines: NewStudy) -> None:
    study = new_lines(budget={"candidates": 2})
    state = run(study)
    assert state.best.has_weights
    (study.folder / "candidates" / str(state.best.id) / "weights.safetensors").unlink()
    with pytest.raises(EvaluationError, match="does not exist"):
        list(best_models(study, state))
