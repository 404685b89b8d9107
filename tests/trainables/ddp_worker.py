"""One worker of a team that trains shared weights with Lightning's own DDP.

    python -m tests.trainables.ddp_worker FOLDER TRAINING FAULT

Reads rank and address from the environment, and writes the parameters that it ends with.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy
from safetensors.torch import save_file

from phylon.search import Architecture, Candidate, Context
from phylon.search.evaluation import Team
from phylon.trainables import LightningEvaluator, Training
from phylon.trainables.shared_training import SharedTraining
from phylon.trainables.sharing import Sharing
from phylon.trainables.supernet_evaluator import SupernetEvaluator
from tests.trainables.lines import SPACE, Lines

EPOCHS = 17  # of three steps each


def evaluator(kind: Any, fault: Any, batch_size: int) -> SupernetEvaluator:
    trained = LightningEvaluator(Lines(0.02, 0.0, fault), Training(batch_size=batch_size))
    return SupernetEvaluator(trained, SPACE, Sharing(kind, EPOCHS, samples=4))


def train(kind: str, fault: str, batch_size: int, context: Context) -> None:
    whole = Candidate(0, Architecture({}), phase="supernet", seed=3)
    evaluator(kind, fault, batch_size).evaluate(whole, context)


def main(folder: Path, kind: str, fault: str) -> None:
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    strategy = DDPStrategy(process_group_backend="gloo", find_unused_parameters=True)
    team = Team(rank, 2, {"devices": 2, "strategy": strategy})
    ends: dict[str, torch.Tensor] = {}
    last = SharedTraining.on_train_epoch_end

    def keep(self: SharedTraining) -> None:
        last(self)
        ends.update({name: each.detach().clone() for name, each in self.named_parameters()})

    SharedTraining.on_train_epoch_end = keep  # type: ignore[method-assign]
    home = folder / f"rank{rank}"
    train(kind, fault, 7, Context(home, lambda _: None, team=team))
    save_file(ends, folder / f"end{rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
