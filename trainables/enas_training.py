"""ENAS: a controller learns which paths are good while their shared weights are trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from pytorch_lightning import LightningModule

from phylon.search.architecture import Architecture
from phylon.search.controller import Controller
from phylon.search.decisions import decisions, questions
from phylon.search.evaluation import Team
from phylon.search.objective import Objective
from phylon.search.space import SearchSpace
from phylon.trainables.folder import write_whole
from phylon.trainables.shared_training import SharedTraining
from phylon.trainables.supernet import Supernet
from phylon.trainables.teamwork import agreed

STEPS = 30  # of the controller, after each epoch of the weights
RATE = 3.5e-3
ENTROPY = 1e-4
TEMPERATURE = 5.0
TANH_CONSTANT = 2.5
MOMENTUM = 0.99
TRIES = 20  # draws for each architecture that is wanted
REWARDS, ADVISING = 2, 3


@final
class EnasTraining(SharedTraining):
    """Trains paths that a controller draws, and the controller by how well they do.

    ENAS (Pham et al. 2018, https://arxiv.org/abs/1802.03268). Each step of the weights takes one
    path. After each epoch in the second half of the training the controller takes 30 steps of
    REINFORCE: the reward is the metric of a newly drawn path on a batch of validation data,
    normalised by that batch; what is above an average of rewards that forgets by 0.99 is made more
    likely, and the mean entropy of the decisions is rewarded with 1e-4. Adam has a learning rate of
    3.5e-3; logits are divided by 5 and bounded by 2.5.

    In the first half paths are drawn as in `UniformTraining`, and the controller learns nothing:
    at first networks without parameters do best, since they need no training, and a controller that
    learned from that would never train the others. In the paper it learns from the beginning, but
    over 150 epochs and with 10 paths in each step, for convolutional cells; it has these bounds for
    recurrent ones. Here it is one path, as scoring is to be a small part of the cost. The average
    begins with the first reward rather than with 0, which would make everything drawn at first more
    likely. Entropy is differentiated, and not sampled as a part of the reward. Weights follow the
    optimizer of the task rather than SGD with restarts.

    Args:
        inner: As in `SharedTraining`, like the next four.
        supernet: See there.
        space: See there.
        seed: See there.
        team: Who trains together; the controller learns on the first worker.
        objective: What is rewarded; one that the module logs in validation.
        advice: The file that gets the architectures to try, after the last epoch.
        samples: How many different ones.
    """

    def __init__(
        self,
        inner: LightningModule,
        supernet: Supernet,
        space: SearchSpace,
        seed: int,
        team: Team,
        objective: Objective,
        advice: Path,
        samples: int,
    ) -> None:
        super().__init__(inner, supernet, space, seed, team)
        self._objective = objective
        self._advice = advice
        self._samples = samples
        self._baseline: float | None = None
        self._controller = Controller(
            questions(space),
            seed,
            rate=RATE,
            entropy=ENTROPY,
            temperature=TEMPERATURE,
            tanh_constant=TANH_CONSTANT,
        )

    def paths(self, rng: np.random.Generator) -> Sequence[Architecture]:
        """Draw one at random in the first half, then let the controller draw it."""
        return [self._sampled(rng) if self._has_begun else self.draws.draw(rng)]

    def update(self, optimizer: Any) -> None:  # noqa: ANN401 - Lightning wraps it
        """Follow the gradients as far as `PathDraws` says."""
        self.draws.step(optimizer)

    def on_train_epoch_end(self) -> None:
        """Let the controller learn, and give its advice after the last epoch."""
        super().on_train_epoch_end()
        told = self._learn() if self._has_begun and self._team.rank == 0 else {}
        told, state = agreed((told, self._state()), self._team)
        if self._team.rank > 0:
            self._restore(state)
        elif self.current_epoch + 1 == self.trainer.max_epochs:
            advised = json.dumps([each.nested for each in self._advised()])
            write_whole(self._advice, lambda path: path.write_text(advised, encoding="utf-8"))
        self.log_dict(told)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the controller."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["enas"] = self._state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Undo `on_save_checkpoint`."""
        super().on_load_checkpoint(checkpoint)
        self._restore(checkpoint["enas"])

    @property
    def _has_begun(self) -> bool:
        return 2 * self.current_epoch >= (self.trainer.max_epochs or 0) - 1

    def _sampled(self, rng: np.random.Generator) -> Architecture:
        return self._controller.sample(self._space, rng)

    def _state(self) -> dict[str, Any]:
        return {"controller": self._controller.state(), "baseline": self._baseline}

    def _restore(self, state: dict[str, Any]) -> None:
        self._controller.restore(state["controller"])
        self._baseline = state["baseline"]

    def _learn(self) -> dict[str, float]:
        """Take the controller's steps of an epoch; return what is logged of them."""
        rewards, entropies = np.empty(STEPS), np.empty(STEPS)
        baseline = self._baseline
        for step in range(STEPS):
            rng = self._rng(step, REWARDS)
            path = self._sampled(rng)
            self._select(path)
            reward = -self._objective.loss(self.held_out.try_path(self.inner, rng))
            baseline = reward if baseline is None else baseline
            taken = decisions(self._space, path)
            rewards[step], entropies[step] = reward, self._controller.entropy(taken)
            self._controller.learn(taken, reward - baseline)
            baseline = MOMENTUM * baseline + (1 - MOMENTUM) * reward
        self._baseline = baseline
        return {
            "reward": rewards.mean(),
            "baseline": baseline or 0.0,
            "controller_entropy": entropies.mean(),
        }

    def _advised(self) -> list[Architecture]:
        """Draw different architectures; fewer than wanted if the controller repeats itself."""
        found: dict[str, Architecture] = {}
        for draw in range(TRIES * self._samples):
            path = self._sampled(self._rng(draw, ADVISING))
            found.setdefault(self._space.key(path), path)
            if len(found) == self._samples:
                break
        return list(found.values())
