"""One driver's time with a study: open it, run it, close it, whatever happens meanwhile."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from phylon import events
from phylon.agenda import SAMPLES_PER_PROBE
from phylon.cluster.census import take_census
from phylon.cluster.connect import ray_cluster
from phylon.cluster.executor import Executor
from phylon.cluster.mirror import Mirror
from phylon.cluster.serial import SerialExecutor
from phylon.cluster.tune_executor import TuneExecutor
from phylon.driver import Driver
from phylon.errors import ConfigurationError, JournalError, StudyError
from phylon.final_test import test_winners
from phylon.folders import CandidateFolders
from phylon.ledger import Ledger, Listener
from phylon.lock import Hold, hold
from phylon.mlflow_client import tracking_uri
from phylon.mlflow_extras import Extras
from phylon.mlflow_machine import MachineMeter
from phylon.models import best_models
from phylon.opening import OpenStudy, open_journal
from phylon.planning import new_shares
from phylon.priming import Priming
from phylon.progress import Progress
from phylon.resumption import check_place, check_storage, has_more_to_do
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Phase
from phylon.search.evaluation import Adviser
from phylon.signals import calling_on_signal
from phylon.state import StudyState
from phylon.streams import forgiving
from phylon.study import Study
from phylon.tracker import Tracker

PATIENCE_AT_THE_END_S = 60.0
PATIENCE_WHEN_STOPPED_S = 2.0


def run_study(study: Study, *, resume: bool, in_process: bool, show_progress: bool) -> StudyState:
    """Run a study to its end or until it is stopped; see `Study.run`."""
    evaluator = study.parts.evaluator
    uri = tracking_uri(study.config)
    check_storage(study.location)
    check_place(study.location, resume=resume)
    state = study.state()
    if not has_more_to_do(state, study.config):
        return _catch_up(study, uri)
    priming = Priming(study, state)
    with ExitStack() as stack:
        if show_progress and not in_process:
            print(f"Starting Ray for {study.location} ...", file=forgiving(sys.stderr))
        executor = stack.enter_context(_executor(study, state, in_process=in_process))
        held = stack.enter_context(_held(study))
        check_place(study.location, resume=resume)
        opened = stack.enter_context(open_journal(study, held))
        opened.begin(executor.slots)
        tracker = stack.enter_context(_tracker(study, opened.state, uri, MachineMeter()))
        folders = CandidateFolders(study.location, opened.keeping)
        listeners: list[Listener] = [stack.enter_context(folders)]
        if tracker:
            listeners.append(lambda _: tracker.wake())
        remind: Callable[[], None] = _silent
        if show_progress:

            def notice() -> str:
                return priming.words or executor.words or _lag(tracker)

            progress = _progress(study, opened.state, executor.slots, notice)
            listeners.append(stack.enter_context(progress))
            remind = progress.remind
        driver = _driver(study, opened, listeners)
        with calling_on_signal(driver.stop), _saving(driver):
            priming.run(driver, opened, executor, remind)
            if not driver.stopping:
                executor.run(driver, evaluator)
            _end(study, driver, executor)
        return opened.state


def _catch_up(study: Study, uri: str | None) -> StudyState:
    """Send what MLflow still lacks of a finished study, and remove what should be gone."""
    with (
        _held(study) as held,
        open_journal(study, held) as opened,
        _tracker(study, opened.state, uri),
    ):
        opened.drop_overdue()
        with CandidateFolders(study.location, opened.keeping):
            return opened.state


@contextmanager
def _tracker(
    study: Study, state: StudyState, uri: str | None, machine: MachineMeter | None = None
) -> Iterator[Tracker | None]:
    if uri is None:
        yield None
        return
    models = functools.partial(best_models, study, state)
    extras = Extras(study.location, models, study.config.tracking.register)
    tracker = Tracker(study.location, uri, extras, machine)
    tracker.start()
    try:
        yield tracker
    finally:
        is_over = isinstance(state.ending, events.Finished)
        tracker.close(PATIENCE_AT_THE_END_S if is_over else PATIENCE_WHEN_STOPPED_S)


@contextmanager
def _executor(study: Study, state: StudyState, *, in_process: bool) -> Iterator[Executor]:
    if in_process:
        yield SerialExecutor(study.location)
        return
    with ray_cluster():
        nodes = take_census(study.location.parent)
        shares = new_shares(study.config, nodes, study.parts.evaluator, state.records.values())
        yield TuneExecutor(study.location, shares, slots=study.config.resources.slots)


@contextmanager
def _held(study: Study) -> Iterator[Hold]:
    with ExitStack() as stack:
        try:
            if study.location.local:
                study.location.local.mkdir(parents=True, exist_ok=True)
            held = stack.enter_context(hold(study.location))
        except OSError as error:
            raise ConfigurationError(
                f"storage: {study.location} cannot be made: {error.strerror or error}; name "
                f"another one"
            ) from error
        yield held


def _driver(study: Study, opened: OpenStudy, listeners: list[Listener]) -> Driver:
    ledger = Ledger(opened.writer, opened.state, opened.proposer, opened.keeping, listeners)
    return Driver(
        study.config,
        opened.proposer,
        ledger,
        order=opened.order,
        held=opened.held,
        advise=functools.partial(_advice, study),
    )


def _advice(study: Study, supernet: Candidate) -> Sequence[Architecture]:
    """Return what a trained supernet's evaluator would try first, if it says so."""
    evaluator: object = study.parts.evaluator
    if study.config.strategy.name != "enas" or not isinstance(evaluator, Adviser):
        return ()
    return evaluator.advice(supernet, Mirror(study.location).fetch(supernet))


@contextmanager
def _saving(driver: Driver) -> Iterator[None]:
    """Have what was taken written, too, if anything but the storage ends the run."""
    try:
        yield
    except (JournalError, StudyError):
        raise
    except Exception:
        driver.flush()
        raise


def _progress(study: Study, state: StudyState, slots: int, notice: Callable[[], str]) -> Progress:
    config = study.config
    probes = config.supernet.probes if config.evaluator == "supernet" else 0
    final = config.final
    kinds = 2 if final and final.weights == "both" else 1
    totals: dict[Phase, int] = {
        "supernet": int(config.evaluator == "supernet"),
        "sample": SAMPLES_PER_PROBE * probes,
        "search": config.budget.candidates or 0,
        "probe": probes,
        "final": final.top * final.seeds * kinds if final else 0,
    }
    return Progress(state, totals, slots, notice=notice)


def _silent() -> None:
    """Say nothing."""


def _lag(tracker: Tracker | None) -> str:
    is_worth_a_line = tracker and tracker.status not in ("starting", "in step")
    return f"MLflow is {tracker.status}" if tracker and is_worth_a_line else ""


def _end(study: Study, driver: Driver, executor: Executor) -> None:
    """Test the winner and write down how the study ended."""
    if not driver.stopping and not driver.finished:
        raise StudyError(
            f"Ray Tune ended before the study did; `phylon resume {study.location}` goes on with it"
        )
    if not driver.stopping and not driver.state.tested:
        tested = test_winners(study, driver.state, executor)
        if tested:
            driver.record(tested)
    if driver.stopping:
        driver.record(events.Interrupted(reason=driver.stop_reason))
    else:
        driver.record(events.Finished(reason=driver.end_reason))
