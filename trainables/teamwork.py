"""Workers that train one set of weights together: who takes which samples, and what all know."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from torch import distributed

from phylon.search.evaluation import Team
from phylon.trainables.folder import CandidateFolder, write_whole
from phylon.trainables.steps import pick, samples_in

T = TypeVar("T")
LEAST = 2  # samples in a part: batch norm cannot train on one


def part_of(batch: Any, team: Team) -> tuple[Any, float]:  # noqa: ANN401
    """Return a worker's part of a batch, and the weight of its mean loss.

    Parts are contiguous and of near-equal size. Weights make the mean of the workers' gradients
    that of the whole batch. Of a batch too small to be divided everybody takes the whole.
    """
    if team.size == 1:
        return batch, 1.0
    count = samples_in(batch)
    if count < LEAST * team.size:
        return batch, 1.0
    start, stop = (count * rank // team.size for rank in (team.rank, team.rank + 1))
    return pick(batch, count, slice(start, stop)), (stop - start) * team.size / count


def agreed(value: T, team: Team) -> T:
    """Return what the first worker of a team says, on all of them."""
    if team.size == 1 or not distributed.is_initialized():
        return value
    box = [value]
    distributed.broadcast_object_list(box)
    return box[0]


def agreed_start(folder: CandidateFolder, team: Team) -> Path | None:
    """Return the checkpoint to go on from: a copy of the first worker's on all of them."""
    if team.size == 1 or not distributed.is_initialized():
        return folder.start()
    start = folder.start() if team.rank == 0 else None
    content = agreed(start.read_bytes() if start else None, team)
    if team.rank == 0 or content is None:
        return start
    write_whole(folder.checkpoint, lambda path: path.write_bytes(content))
    return folder.checkpoint
