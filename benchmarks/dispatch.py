"""How many candidates a second reach their workers and come back.

    python benchmarks/dispatch.py

First an evaluator that returns at once, through `TuneExecutor` and through stock Ray Tune with one
trial per candidate and reused actors, on the same Ray, with the same slots. Then evaluations of one
second on four slots, against the ideal of n/4 seconds; both are timed from the moment the workers
are up.
"""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import ray
from pyarrow import fs
from ray import tune
from typing_extensions import override

from phylon import events
from phylon.cluster import TuneExecutor
from phylon.cluster.executor import Share
from phylon.cluster.location import Location
from phylon.cluster.shares import FixedShares
from phylon.config import StudyConfig
from phylon.driver import Driver
from phylon.journal import JournalWriter
from phylon.keeping import Keeping
from phylon.ledger import Ledger
from phylon.order import FreeOrder
from phylon.proposer import Proposer
from phylon.search import Float, SearchSpace, make_strategy
from phylon.search.candidate import Candidate, Measurement
from phylon.search.evaluation import Context
from phylon.state import StudyState

SPACE = SearchSpace(x=Float(0.0, 1.0))
SHARE = Share(cpus=0.5)
SLOTS = 4
STREAMED, STOCK, SLOW = 2000, 160, 60


@dataclass
class Evaluator:
    """Sleeps, then reports once."""

    seconds: float = 0.0
    metrics: tuple[str, ...] = ("x",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        """Report the only decision."""
        if self.seconds:
            time.sleep(self.seconds)
        context.report(Measurement(1, {"x": candidate.architecture["x"]}, self.seconds))


@dataclass
class Stopwatch:
    """Notes when each candidate was completed."""

    ends: list[float] = field(default_factory=list)

    def __call__(self, event: events.Event) -> None:
        """Note the time, if this is an end."""
        if isinstance(event, events.Completed):
            self.ends.append(time.perf_counter())


def run_phylon(candidates: int, seconds: float) -> list[float]:
    """Return when each of so many candidates was completed."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        writer = JournalWriter(fs.LocalFileSystem(), str(folder / "journal"))
        config = StudyConfig.build(
            name="dispatch",
            task="dispatch:Evaluator",
            objectives=[{"metric": "x", "direction": "maximize"}],
            budget={"candidates": candidates},
        )
        created = events.Created(
            uid="dispatch", config=config.to_json(), space=SPACE.to_json(), metrics=["x"]
        )
        watch = Stopwatch()
        proposer = Proposer(lambda: make_strategy("regularized_evolution", SPACE))
        ledger = Ledger(writer, StudyState([created]), proposer, Keeping(1), [watch])
        driver = Driver(config, proposer, ledger, order=FreeOrder())
        executor = TuneExecutor(Location(folder), FixedShares(SHARE, largest=0))
        executor.run(driver, Evaluator(seconds))
        writer.close()
    return watch.ends


class StockTrainable(tune.Trainable):
    """One candidate, one trial, one step."""

    def setup(self, config: dict[str, float]) -> None:
        """Take the candidate."""
        self.x = config["x"]

    def reset_config(self, new_config: dict[str, float]) -> bool:
        """Take another candidate with the same actor."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, float | bool]:
        """Report the only decision and end."""
        return {"x": self.x, "done": True}


class StockWatch(tune.Callback):
    """Notes when each trial ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    @override
    def on_trial_complete(self, *args: object, **info: object) -> None:
        self.ends.append(time.perf_counter())


def run_stock(trials: int) -> list[float]:
    """Return when each of so many trials of plain Ray Tune was completed."""
    watch = StockWatch()
    with tempfile.TemporaryDirectory() as scratch:
        tune.Tuner(
            tune.with_resources(StockTrainable, {"CPU": SHARE.cpus}),
            param_space={"x": tune.uniform(0.0, 1.0)},
            tune_config=tune.TuneConfig(
                num_samples=trials, reuse_actors=True, max_concurrent_trials=SLOTS
            ),
            run_config=tune.RunConfig(
                storage_path=scratch,
                verbose=0,
                callbacks=[watch],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    return watch.ends


def rate(ends: list[float]) -> float:
    """Return completions a second after the first `SLOTS` of them, when all workers are up."""
    ends = sorted(ends)[SLOTS - 1 :]
    return (len(ends) - 1) / (ends[-1] - ends[0])


def main() -> None:
    """Measure and print."""
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    stock = rate(run_stock(STOCK))
    streamed = rate(run_phylon(STREAMED, 0.0))
    print(f"stock Tune: {stock:.1f} candidates a second ({STOCK} trials, reuse_actors)")
    print(f"phylon: {streamed:.1f} candidates a second ({STREAMED} candidates)")
    print(f"ratio: {streamed / stock:.1f} (wanted: at least 10)")
    ends = sorted(run_phylon(SLOW, 1.0))
    ideal = (SLOW - SLOTS) / SLOTS
    ratio = (ends[-1] - ends[SLOTS - 1]) / ideal
    print(f"1 s evaluations: {ratio:.3f} of the ideal time (wanted: at most 1.10)")
    ray.shutdown()


if __name__ == "__main__":
    main()
