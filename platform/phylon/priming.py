"""What a study begins with besides chance: earlier studies, scores of untrained networks."""

from __future__ import annotations

from collections.abc import Callable

from phylon import events
from phylon.cluster.executor import Executor
from phylon.driver import Driver
from phylon.earlier import read_earlier
from phylon.opening import OpenStudy
from phylon.scoring import Scoring, proxy_evaluator
from phylon.search.evaluation import Fingerprinted
from phylon.search.warm_start import recall
from phylon.state import StudyState
from phylon.study import Study


class Priming:
    """Finds out what the strategy should begin with, once, before the first proposal.

    All that can be refused is refused here, before anything is written.

    Args:
        study: The study.
        state: How far it is.

    Raises:
        ConfigurationError: An earlier study cannot be used, or networks cannot be scored.
    """

    def __init__(self, study: Study, state: StudyState) -> None:
        config, parts = study.config, study.parts
        begun = state.primed is not None or bool(state.records)
        self._study = study
        self._earlier = [] if begun else read_earlier(config, parts.space)
        is_wanted = config.initial.name == "zero_cost" and not begun
        self._proxies = proxy_evaluator(parts.evaluator, config) if is_wanted else None
        self._scoring: Scoring | None = None

    @property
    def words(self) -> str:
        """What it does at the moment, for the progress line; nothing when it is done."""
        return self._scoring.words if self._scoring else ""

    def run(
        self,
        driver: Driver,
        opened: OpenStudy,
        executor: Executor,
        on_score: Callable[[], None],
    ) -> None:
        """Prime the strategy and write down with what; nothing if the study is stopped meanwhile.

        Half of the strategy's initial candidates come from here, at least one from each source; the
        others are its own.

        Args:
            driver: Runs the study.
            opened: The study, its strategy before the first proposal.
            executor: Where networks are scored.
            on_score: Called after each score.
        """
        sources = bool(self._earlier) + bool(self._proxies)
        if not sources:
            return
        share = max(opened.proposer.initial // (2 * sources), 1)
        parts = self._study.parts
        evaluator: object = parts.evaluator
        data = evaluator.fingerprint() if isinstance(evaluator, Fingerprinted) else {}
        start, known = recall(self._earlier, data, parts.space, share)
        if self._proxies:
            self._scoring = Scoring(
                self._study.location,
                self._study.config,
                parts.space,
                lambda: driver.stopping,
                on_score,
                check=opened.held_by.check,
            )
            start += self._scoring.best(share, executor, self._proxies)
        if not driver.stopping:
            driver.record(events.Primed(start=start, known=known))
