"""Scoring untrained networks on the cluster, so that a search begins with the promising ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from phylon import events
from phylon.cluster.executor import Executor, Usage
from phylon.cluster.location import Location
from phylon.config import StudyConfig
from phylon.errors import ConfigurationError, EvaluationError
from phylon.journal import JournalReader, JournalWriter
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement, candidate_seed
from phylon.search.constraint import Constraint, total_violation
from phylon.search.evaluation import Evaluator
from phylon.search.space import SearchSpace
from phylon.search.zero_cost import PROXIES, best_by_proxies, draw_networks
from phylon.trainables.evaluator import COUNTED, LightningEvaluator

SCORES = "zero_cost"


class Scoring:
    """A study of its own for executors: random networks, each scored by proxies, not trained.

    Scores are kept in a journal, so that an interruption costs none.

    Args:
        location: Where the study lives.
        config: The study's; it tells how many networks, and the seed they are drawn with.
        space: Where they are drawn from.
        is_stopping: Whether running networks should be abandoned.
        on_score: Called after each score.
        check: Called before scores are written; raises if the study is no longer ours to write.
    """

    def __init__(
        self,
        location: Location,
        config: StudyConfig,
        space: SearchSpace,
        is_stopping: Callable[[], bool],
        on_score: Callable[[], None],
        *,
        check: Callable[[], None],
    ) -> None:
        self._is_stopping = is_stopping
        self._on_score = on_score
        self._bounds = _bounds(config)
        self._candidates = [
            Candidate(number, architecture, seed=candidate_seed(config.seed, number))
            for number, architecture in enumerate(
                draw_networks(space, config.initial.samples, config.seed)
            )
        ]
        self._latest: dict[int, dict[str, float]] = {}
        self._scores: dict[int, dict[str, float]] = {}
        self._failed: dict[int, str] = {}  # and why
        self._unwritten: list[events.Event] = []
        journal = location / SCORES
        reader = JournalReader(journal.filesystem, journal.path)
        for event in reader.read():
            if isinstance(event, events.Completed):
                self._scores[event.candidate_id] = event.metrics
        self._journal = JournalWriter(journal.filesystem, journal.path, reader=reader, check=check)
        self._ready = deque(c for c in self._candidates if c.id not in self._scores)

    def best(self, n: int, executor: Executor, evaluator: Evaluator) -> list[Architecture]:
        """Score what is not yet scored, and return the `n` best within the constraints on size.

        Fewer are returned if stopped meanwhile, or if too few are within them.

        Raises:
            EvaluationError: No network could be scored.
        """
        try:
            executor.run(self, evaluator)
            self.flush()
        finally:
            self._journal.close()
        if not self._scores and not self.stopping:
            reason = next(iter(self._failed.values()))
            raise EvaluationError(f"initial: zero_cost: no network could be scored; {reason}")
        scores = sorted(self._scores.items())
        within = [each for each in scores if not total_violation(self._bounds, each[1])]
        best = best_by_proxies([metrics for _, metrics in within], n)
        return [self._candidates[within[place][0]].architecture for place in best]

    @property
    def words(self) -> str:
        """How far it is, for the progress line; nothing when it is done."""
        done, total = len(self._scores) + len(self._failed), len(self._candidates)
        return f"scored {done} of {total} untrained networks" if done < total else ""

    @property
    def finished(self) -> bool:
        """Whether every network was scored."""
        return len(self._scores) + len(self._failed) == len(self._candidates)

    @property
    def stopping(self) -> bool:
        """Whether running networks should be abandoned."""
        return self._is_stopping()

    def propose(self) -> Candidate | None:
        """Return the next network to score."""
        return self._ready.popleft() if self._ready else None

    def observe(self, candidate_id: int, measurement: Measurement) -> None:
        """Take the scores of a network."""
        self._latest[candidate_id] = measurement.metrics

    def complete(self, candidate_id: int, usage: Usage) -> None:
        """Keep the scores of a network."""
        metrics = self._latest.pop(candidate_id)
        self._unwritten.append(
            events.Completed(candidate_id=candidate_id, metrics=metrics, seconds=usage.seconds)
        )
        self._scores[candidate_id] = metrics
        self._on_score()

    def fail(self, candidate_id: int, reason: str, usage: Usage) -> None:  # noqa: ARG002
        """Leave out a network that cannot be scored."""
        self._failed[candidate_id] = reason

    def outgrow(self, candidate_id: int, usage: Usage) -> None:  # noqa: ARG002
        """Leave out a network that needs more memory than its share."""
        self._failed[candidate_id] = "it needs more memory than its share"

    def flush(self) -> None:
        """Write the scores since the last time."""
        if self._unwritten:
            self._journal.append(*self._unwritten)
            self._unwritten = []

    def lose(
        self, running: int, waiting: Sequence[int], reason: str, *, innocent: bool = False
    ) -> None:
        """Leave out a network that took its worker with it; all others are scored elsewhere."""
        again = [running, *waiting] if innocent else waiting
        if not innocent:
            self._failed[running] = reason
        self._ready.extendleft(self._candidates[number] for number in reversed(again))


def proxy_evaluator(evaluator: object, config: StudyConfig) -> Evaluator:
    """Return what scores the networks of a study's task.

    Raises:
        ConfigurationError: The task builds no networks.
    """
    from phylon.trainables.proxy_evaluator import ProxyEvaluator
    from phylon.trainables.supernet_evaluator import SupernetEvaluator

    if isinstance(evaluator, SupernetEvaluator):
        evaluator = evaluator.trained
    if not isinstance(evaluator, LightningEvaluator):
        raise ConfigurationError(
            f"initial: zero_cost scores untrained networks, but the task `{config.task.name}` "
            f"builds none: it is no phylon.Task; write `initial: random`"
        )
    costs = dict.fromkeys(bound.metric for bound in _bounds(config))
    return ProxyEvaluator(evaluator.task, (*PROXIES, *costs), seed=config.seed)


def _bounds(config: StudyConfig) -> list[Constraint]:
    """Return the constraints that an untrained network keeps to or misses."""
    return [constraint for constraint in config.constraints if constraint.metric in COUNTED]
