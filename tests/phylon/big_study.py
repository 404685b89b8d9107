"""A finished study of any size, made up in no time: its journal as a driver would write it."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phylon import events
from phylon.cluster.location import Location
from phylon.config import StudyConfig
from phylon.journal import JournalWriter
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement, candidate_seed
from phylon.search.variation import crossover, mutate
from phylon.trainables.macro import macro_space

SPACE = macro_space(32)
EPOCHS, FINAL_EPOCHS, FINALISTS, SEEDS = 8, 20, 3, 2
NODES = tuple(f"node-{n}/0123abcd" for n in range(3))
SLOTS = 12
MOST_MACS = 1e7
BEGAN = 1_790_000_000.0
_FAILS, _ALIVE, _BATCH = 0.04, 50, 2000
_REASONS = ("RuntimeError: the loss is nan", "MemoryError: out of memory", "OSError: disk full")


def big_study(folder: Path, candidates: int, objectives: int = 1, seed: int = 0) -> Location:
    """Write a study into `folder` and return where it lives.

    It searches by regularized evolution with mutation and crossover on three nodes of four slots,
    some candidates fail or miss the constraint on `macs`, and the best three are trained again,
    twice each. Each of its candidates reports eight epochs, the final ones twenty.

    Args:
        folder: What holds studies; the study lives in ``folder / "big"``.
        candidates: How many the search tries.
        objectives: 1 for `val_accuracy`; 2 to have few `params`, too.
        seed: Of all that is random.
    """
    goals = [("val_accuracy", "maximize"), ("params", "minimize")][:objectives]
    config = StudyConfig.build(
        name="big",
        task="images",
        objectives=[{"metric": metric, "direction": way} for metric, way in goals],
        constraints=[{"metric": "macs", "at_most": MOST_MACS}],
        budget={"candidates": candidates},
        training={"epochs": EPOCHS},
        final={"epochs": FINAL_EPOCHS, "top": FINALISTS, "seeds": SEEDS},
        seed=seed,
        storage=str(folder),
    )
    location = Location(folder) / "big"
    journal = location / "journal"
    writer = JournalWriter(journal.filesystem, journal.path)
    story = _events(config, np.random.default_rng(seed))
    while batch := list(itertools.islice(story, _BATCH)):
        writer.append(*batch)
    writer.close()
    return location


def _events(config: StudyConfig, rng: np.random.Generator) -> Iterator[events.Event]:
    yield events.Created(
        time=BEGAN,
        uid=f"big-{config.seed}",
        config=config.to_json(),
        space=SPACE.to_json(),
        metrics=["val_accuracy", "val_loss", "params", "macs"],
        fingerprint={"name": "images", "digest": "0123456789abcdef", "train": 5000, "val": 1000},
    )
    yield events.Opened(
        time=BEGAN,
        host="head",
        pid=1,
        versions={"python": "3.11.9", "phylon": "0.1.0", "torch": "2.9.1"},
        budget=config.budget.model_dump(),
    )
    search = _Search(rng, BEGAN)
    yield from search.run(config.budget.candidates, config.seed)
    yield events.Finished(time=search.clock + 1, reason="the budget is spent")


@dataclass
class _Search:
    rng: np.random.Generator
    clock: float
    made: dict[int, Candidate] = field(default_factory=dict)
    alive: list[tuple[float, Candidate]] = field(default_factory=list)
    done: list[tuple[float, Candidate]] = field(default_factory=list)

    def run(self, candidates: int, seed: int) -> Iterator[events.Event]:
        waiting: list[tuple[float, int, events.Event]] = []
        order = itertools.count()
        free = [node for node in NODES for _ in range(SLOTS // len(NODES))]
        plan = iter(range(candidates + FINALISTS * SEEDS))
        while True:
            while free and (number := next(plan, None)) is not None:
                if number == candidates and waiting:  # the final phase waits for the search
                    plan = itertools.chain([number], plan)
                    break
                candidate = self._propose(number, candidates, seed)
                self.made[number] = candidate
                yield events.Proposed(time=self.clock, candidate=candidate)
                for event in self._measured(candidate, free.pop(0)):
                    heapq.heappush(waiting, (event.time, next(order), event))
            if not waiting:
                return
            self.clock, _, event = heapq.heappop(waiting)
            if isinstance(event, events.Completed | events.Failed):
                free.append(event.node)
            if isinstance(event, events.Completed):
                self._learn(event)
            yield event

    def _propose(self, number: int, candidates: int, seed: int) -> Candidate:
        if number >= candidates:
            self.done.sort(key=lambda item: (-item[0], item[1].id))
            best = self.done[(number - candidates) // SEEDS % len(self.done)][1]
            return self._candidate(
                number, best.architecture, (best,), "retrain", seed, FINAL_EPOCHS
            )
        if len(self.alive) < 2 or number < min(_ALIVE, candidates // 4):
            return self._candidate(number, SPACE.sample(rng=self.rng), (), "sample", seed)
        first, second = (self._parent() for _ in range(2))
        if self.rng.random() < 0.25:
            made = crossover(SPACE, first.architecture, second.architecture, rng=self.rng)
            return self._candidate(number, made, (first, second), "crossover", seed)
        made = mutate(SPACE, first.architecture, rng=self.rng)
        return self._candidate(number, made, (first,), "mutate", seed)

    def _learn(self, event: events.Completed) -> None:
        value = event.metrics["val_accuracy"] * (event.metrics["macs"] <= MOST_MACS)
        self.done.append((value, self.made[event.candidate_id]))
        self.alive = [*self.alive[-_ALIVE + 1 :], self.done[-1]]

    def _parent(self) -> Candidate:
        drawn = self.rng.choice(len(self.alive), size=min(8, len(self.alive)), replace=False)
        return max((self.alive[i] for i in drawn), key=lambda item: item[0])[1]

    def _candidate(
        self,
        number: int,
        architecture: Architecture,
        parents: tuple[Candidate, ...],
        operator: str,
        seed: int,
        epochs: int | None = None,
    ) -> Candidate:
        return Candidate(
            number,
            architecture,
            tuple(dict.fromkeys(parent.id for parent in parents)),
            operator,
            max((parent.generation + 1 for parent in parents), default=0),
            phase="search" if epochs is None else "final",
            seed=candidate_seed(seed, number),
            epochs=epochs,
        )

    def _measured(self, candidate: Candidate, node: str) -> Iterator[events.Event]:
        """Yield what a candidate reports from now on."""
        final = measures(candidate)
        each = 2.0 + final["macs"] / 3e6 + self.rng.exponential(0.5)
        epochs = candidate.epochs or EPOCHS
        used: dict[str, Any] = {"resources": {"cpus": 0.5, "gpus": 0.0}, "node": node}
        fails = candidate.phase == "search" and self.rng.random() < _FAILS
        last = int(self.rng.integers(0, epochs)) if fails else epochs
        noise = self.rng.normal(0.0, 0.004, size=epochs + 1)
        metrics: dict[str, float] = {}
        for step in range(1, last + 1):
            learnt = 1 - math.exp(-0.55 * step)
            accuracy = float(min(0.999, final["val_accuracy"] * learnt + noise[step]))
            metrics = {**final, "val_accuracy": accuracy, "val_loss": 2.3 * (1 - accuracy)}
            report = Measurement(step, metrics, each)
            yield events.Reported(
                time=self.clock + step * each, candidate_id=candidate.id, measurement=report
            )
        end, spent = self.clock + (last + 0.1) * each, (last + 0.1) * each
        if fails:
            reason = _REASONS[int(self.rng.integers(len(_REASONS)))]
            yield events.Failed(
                time=end, candidate_id=candidate.id, reason=reason, seconds=spent, **used
            )
            return
        yield events.Completed(
            time=end, candidate_id=candidate.id, metrics=metrics, seconds=spent, **used
        )


def measures(candidate: Candidate) -> dict[str, float]:
    """Return what an architecture is worth, without noise: an accuracy, and made-up counts."""
    net = candidate.architecture.nested
    channels, params, macs, size = 3, 0.0, 0.0, 32.0
    for stage in net["stages"]:
        weights = stage["width"] * channels * stage["block"]["kernel"] ** 2 * stage["depth"]
        channels, size = stage["width"], size / 2
        params, macs = params + weights, macs + weights * size**2
    rate = abs(math.log10(net["learning_rate"]) + 2.6)
    depth = sum(stage["depth"] for stage in net["stages"])
    residual = sum(stage["block"]["type"] == "residual" for stage in net["stages"])
    accuracy = 0.35 + 0.09 * math.log10(params) + 0.008 * depth + 0.01 * residual - 0.1 * rate
    return {
        "val_accuracy": max(0.1, min(0.99, accuracy)),
        "val_loss": 0.0,
        "params": round(params),
        "macs": round(macs),
    }
