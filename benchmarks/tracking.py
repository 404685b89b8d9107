"""What telling MLflow about a search costs, against Ray Tune's own callback, on one local server.

    python benchmarks/tracking.py [CANDIDATES]

The same candidates (200 unless told), with 10 metrics after each of 10 epochs, are logged by Ray's
`MLflowLoggerCallback` from a run of Ray Tune, and by phylon's tracker from the journal of a study
that takes a minute. Counted are the HTTP requests that leave the driver, and the processor seconds
that it spends on logging: for Ray in the callback, for phylon in the tracker's thread. (The report,
which Ray's callback has none of, is built by another process and is not counted.) Then studies run
without tracking and with a server that is not there, in either order; printed is the median ratio
of the pairs. MLflow is imported beforehand, which takes either of them the same few seconds.
"""

from __future__ import annotations

import logging
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mlflow
import numpy as np
import ray
import requests
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from typing_extensions import override

from phylon import Candidate, Context, Float, Measurement, SearchSpace, Study, events
from phylon.cluster.location import Location
from phylon.journal import JournalWriter
from phylon.mlflow_extras import Extras
from phylon.mlflow_record import RunRecord
from phylon.search.architecture import Architecture
from phylon.tracker import Tracker

PORT = 5077
CANDIDATES, EPOCHS, METRICS = 200, 10, 10
STUDY_S = 60.0
PAIRS, SEARCHED = 14, 60
DEAD = "http://127.0.0.1:9"


@dataclass
class Cost:
    """What logging took: requests, and processor seconds of the driver."""

    requests: int = 0
    seconds: float = 0.0


def measured(step: int) -> dict[str, float]:
    """Return what a candidate reports after an epoch."""
    return {f"metric_{i}": i + 1 / step for i in range(METRICS)}


@contextmanager
def counting(cost: Cost) -> Iterator[None]:
    """Count the requests of this process."""
    send = requests.Session.send

    def counted(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as it was
        cost.requests += 1
        return send(*args, **kwargs)

    requests.Session.send = counted  # type: ignore[method-assign]
    try:
        yield
    finally:
        requests.Session.send = send  # type: ignore[method-assign]


@contextmanager
def server(folder: str) -> Iterator[str]:
    """Run an MLflow server and yield its URI."""
    uri = f"http://127.0.0.1:{PORT}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(PORT), "--workers", "2"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", f"{folder}/artifacts"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)
    try:
        while not is_up(uri):
            time.sleep(0.5)
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def is_up(uri: str) -> bool:
    """Return whether a server answers."""
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=5):
            return True
    except OSError:
        return False


class TimedCallback(MLflowLoggerCallback):
    """Ray's callback, with a clock; what it does is its own.

    Args:
        uri: Where MLflow is.
        cost: Where to add the seconds.
    """

    def __init__(self, uri: str, cost: Cost) -> None:
        super().__init__(uri, experiment_name="ray")
        self._cost = cost

    @override
    def log_trial_start(self, trial: Any) -> None:
        self._timed(lambda: super(TimedCallback, self).log_trial_start(trial))

    @override
    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        self._timed(lambda: super(TimedCallback, self).log_trial_result(iteration, trial, result))

    @override
    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        self._timed(lambda: super(TimedCallback, self).log_trial_end(trial, failed))

    def _timed(self, call: Callable[[], None]) -> None:
        began = time.thread_time()
        call()
        self._cost.seconds += time.thread_time() - began


def by_ray(uri: str, candidates: int) -> Cost:
    """Have Ray Tune log the candidates."""

    def train(config: dict[str, float]) -> None:
        for step in range(1, EPOCHS + 1):
            tune.report({**measured(step), "metric_0": config["x"]})

    cost = Cost()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    with tempfile.TemporaryDirectory() as folder, counting(cost):
        tune.Tuner(
            tune.with_resources(train, {"cpu": 1}),
            param_space={"x": tune.uniform(0.0, 1.0)},
            tune_config=tune.TuneConfig(num_samples=candidates, reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=folder, verbose=0, callbacks=[TimedCallback(uri, cost)]
            ),
        ).fit()
    ray.shutdown()
    return cost


def by_phylon(uri: str, candidates: int) -> Cost:
    """Have phylon's tracker log the candidates while their study goes on."""
    cost = Cost()
    with tempfile.TemporaryDirectory() as folder, counting(cost):
        study = Location(f"{folder}/phylon")
        journal = study / "journal"
        writer = JournalWriter(journal.filesystem, journal.path)
        tracker = Tracker(study, uri, Extras(study, None, None))
        total = 0
        for event in happenings(candidates):
            writer.append(event)
            total += 1
            if total == 2:
                tracker.start()
            began = time.thread_time()
            tracker.wake()
            cost.seconds += time.thread_time() - began
            time.sleep(STUDY_S / (candidates * (EPOCHS + 2)))
        while RunRecord.of(study, uri).sent < total:
            time.sleep(0.1)
        (thread,) = (each for each in threading.enumerate() if each.name == "phylon-tracker")
        assert thread.ident
        cost.seconds += time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        tracker.close(60)
        writer.close()
    return cost


def happenings(candidates: int) -> Iterator[events.Event]:
    """Yield what happens in a study; times are those at which it is yielded."""
    objectives = [{"metric": "metric_0", "direction": "maximize"}]
    config = {"name": "phylon", "objectives": objectives, "space": {}}
    yield events.Created(uid="tracking", config=config, space={}, metrics=["metric_0"])
    yield events.Opened(host="here", pid=1, versions={}, budget={"candidates": candidates})
    for number in range(candidates):
        architecture = Architecture({"x": number / candidates})
        yield events.Proposed(candidate=Candidate(number, architecture, operator="random"))
        for step in range(1, EPOCHS + 1):
            measurement = Measurement(step, measured(step), 0.0)
            yield events.Reported(candidate_id=number, measurement=measurement)
        yield events.Completed(
            candidate_id=number, metrics=measured(EPOCHS), seconds=1.0, node="here"
        )


class Busy:
    """Computes for a tenth of a second."""

    metrics = ("y",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        """Multiply matrices."""
        matrix, until = np.eye(200), time.thread_time() + 0.1
        while time.thread_time() < until:
            matrix = matrix @ matrix
        context.report(Measurement(1, {"y": candidate.architecture["x"]}, 0.1))


def search(uri: str) -> tuple[float, float]:
    """Return seconds and processor seconds of a study in this process."""
    with tempfile.TemporaryDirectory() as folder:
        study = Study(
            task=Busy(),
            space=SearchSpace(x=Float(0.0, 1.0)),
            name="busy",
            storage=folder,
            strategy="random",
            objectives=[{"metric": "y", "direction": "maximize"}],
            budget={"candidates": SEARCHED},
            tracking={"uri": uri},
        )
        began = time.perf_counter(), time.process_time()
        study.run(in_process=True, show_progress=False)
        took = time.perf_counter() - began[0], time.process_time() - began[1]
        if study.state().completed < SEARCHED:  # a signal ends a study early, and in order
            raise SystemExit("interrupted")
        return took


def paired(*, dead_first: bool) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return what `search` takes without tracking, and with a server that is not there."""
    if dead_first:
        dead = search(DEAD)
        return search("none"), dead
    return search("none"), search(DEAD)


def main() -> None:
    """Print both comparisons."""
    candidates = int(sys.argv[1]) if len(sys.argv) > 1 else CANDIDATES
    logging.getLogger("phylon").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, server(folder) as uri:
        mlflow.MlflowClient(uri).search_experiments()
        ours = by_phylon(uri, candidates)
        print(f"phylon  {ours.requests:7d} requests  {ours.seconds:8.2f} processor s")
        theirs = by_ray(uri, candidates)
        print(f"Ray     {theirs.requests:7d} requests  {theirs.seconds:8.2f} processor s")
    print(
        f"ratio   {ours.requests / theirs.requests:7.3f}           "
        f"{ours.seconds / theirs.seconds:8.3f}"
    )
    search(DEAD)
    pairs = [paired(dead_first=bool(pair % 2)) for pair in range(PAIRS)]
    for name, column in (("seconds", 0), ("processor seconds", 1)):
        ratio = statistics.median(dead[column] / none[column] for none, dead in pairs)
        print(f"a search with a dead server: {ratio:.3f} times the {name} of one with none")


if __name__ == "__main__":
    main()
