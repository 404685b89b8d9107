"""The trained networks that a study is for: its winner and, of several objectives, its front."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from phylon.cluster.mirror import Mirror
from phylon.errors import EvaluationError
from phylon.front import front
from phylon.record import Record
from phylon.search.evaluation import NetworkKeeper
from phylon.state import StudyState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from phylon.study import Study

WINNER, MEMBER = "best", "front"

log = logging.getLogger(__name__)


class Trained(NamedTuple):
    """A trained network.

    Attributes:
        candidate_id: Whose it is.
        name: `WINNER`, or `MEMBER` for the others of the front.
        network: With its weights.
        example: A batch of its inputs, an array or a tensor.
    """

    candidate_id: int
    name: str
    network: nn.Module
    example: NDArray[np.generic]


Models = Callable[[], Iterator[Trained]]


def best_records(state: StudyState) -> list[Record]:
    """Return the winner and then the rest of the front; nothing if the best was only scored."""
    best = state.best
    if best is None or best.candidate.is_scored:
        return []
    groups = state.final_groups()
    rivals = [min(group, key=state.rank) for group in groups] or state.ranking("search")
    return [best, *(record for record in front(state, rivals) if record.id != best.id)]


def best_models(study: Study, state: StudyState) -> Iterator[Trained]:
    """Yield the networks of the best candidates, the winner first, if the evaluator keeps any.

    Of the others only those whose weights are still there: earlier versions kept the winner's. Nor
    the winner, if its weights could not be written.

    Raises:
        EvaluationError: The winner's weights are gone.
        OSError: The storage cannot be read.
    """
    evaluator = study.parts.evaluator
    if not isinstance(evaluator, NetworkKeeper):
        return
    mirror = Mirror(study.location)
    for record in best_records(state):
        is_winner = record is state.best
        try:
            network, example = evaluator.network(record.candidate, mirror.fetch(record.candidate))
        except EvaluationError as error:
            if is_winner and not record.is_unwritten:
                raise
            log.info("candidate %d is among the best, but left out: %s", record.id, error)
        else:
            yield Trained(record.id, WINNER if is_winner else MEMBER, network, example)
        mirror.drop(record.candidate)
