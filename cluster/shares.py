"""What each candidate holds: the same for all, by its kind, or planned by its need of memory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal, final

from typing_extensions import override

from phylon.cluster.executor import Share, Shares, Usage
from phylon.cluster.peaks import PeakModel
from phylon.search.candidate import Candidate


@final
class FixedShares(Shares):
    """The same for every candidate; one that runs out of memory gets twice as much the next time.

    What doubles is a part of a GPU, up to the whole of it, and planned memory, up to the most that
    a node has.

    Args:
        share: What candidates begin with.
        largest: Bytes of memory of the largest node.
    """

    def __init__(self, share: Share, largest: int) -> None:
        self._share = share
        self._largest = largest
        self._grown: dict[int, Share] = {}

    @property
    @override
    def least(self) -> Share:
        return self._share

    @property
    @override
    def kinds(self) -> Mapping[str, Share]:
        return {"resources": self._share}

    @override
    def of(self, candidate: Candidate) -> Share:
        return self._grown.get(candidate.id, self._share)

    @override
    def larger(self, share: Share) -> Share | None:
        if share.workers > 1:  # nobody knows whether there is room for all of them
            return None
        parts = round(1 / share.gpus) if 0 < share.gpus < 1 else 1
        gpus = 1 / (parts // 2) if parts > 1 else share.gpus
        memory = max(share.memory, min(2 * share.memory, self._largest))
        larger = Share(share.cpus, gpus, memory)
        return None if larger == share else larger

    @override
    def learn(self, candidate: Candidate, usage: Usage, *, sufficed: bool) -> None:
        larger = None if sufficed else self.larger(usage.share)
        if larger:
            self._grown[candidate.id] = larger
        else:
            self._grown.pop(candidate.id, None)


@final
class PlannedShares(Shares):
    """For each candidate the smallest part of a whole that its predicted memory fits in.

    Parts are halves, quarters, eighths and so on, which pack without gaps.

    Args:
        kind: What is shared out: a GPU by its memory, or the memory of the largest node.
        whole: Bytes of that.
        fixed: Begins with the smallest share of all, and keeps those that had to grow.
        peaks: Predicts bytes.
    """

    def __init__(
        self, kind: Literal["gpus", "memory"], whole: int, fixed: FixedShares, peaks: PeakModel
    ) -> None:
        self._kind = kind
        self._whole = whole
        self._fixed = fixed
        self._peaks = peaks

    @property
    @override
    def least(self) -> Share:
        return self._fixed.least

    @property
    @override
    def kinds(self) -> Mapping[str, Share]:
        return self._fixed.kinds

    @override
    def of(self, candidate: Candidate) -> Share:
        least = self._fixed.of(candidate)
        part = part_of(self._whole, self._peaks.predict(candidate))
        if self._kind == "gpus":
            return dataclasses.replace(least, gpus=max(least.gpus, part))
        return dataclasses.replace(least, memory=max(least.memory, int(self._whole * part)))

    @override
    def larger(self, share: Share) -> Share | None:
        return self._fixed.larger(share)

    @override
    def learn(self, candidate: Candidate, usage: Usage, *, sufficed: bool) -> None:
        self._fixed.learn(candidate, usage, sufficed=sufficed)
        # If it was not enough, how much would be is not known yet: what it has the next time.
        next_time = self.larger(usage.share) or usage.share
        if needed := usage.peak if sufficed else self._size(next_time):
            self._peaks.learn(candidate, needed)

    def _size(self, share: Share) -> int:
        return int(self._whole * share.gpus) if self._kind == "gpus" else share.memory


@final
class PhasedShares(Shares):
    """For each kind of candidate of a study with shared weights its own.

    Args:
        supernet: For the training of the shared weights.
        scoring: For candidates that are scored by them: most of all, so they are the slots.
        training: For candidates that are trained on their own.
    """

    def __init__(self, supernet: Shares, scoring: Shares, training: Shares) -> None:
        self._supernet = supernet
        self._scoring = scoring
        self._training = training

    @property
    @override
    def least(self) -> Share:
        return self._scoring.least

    @property
    @override
    def kinds(self) -> Mapping[str, Share]:
        return {
            "supernet.resources": self._supernet.least,
            "supernet.scoring": self._scoring.least,
            **self._training.kinds,
        }

    @override
    def of(self, candidate: Candidate) -> Share:
        return self._kind(candidate).of(candidate)

    @override
    def larger(self, share: Share) -> Share | None:
        return self._training.larger(share)

    @override
    def learn(self, candidate: Candidate, usage: Usage, *, sufficed: bool) -> None:
        self._kind(candidate).learn(candidate, usage, sufficed=sufficed)

    def _kind(self, candidate: Candidate) -> Shares:
        if candidate.phase == "supernet":
            return self._supernet
        return self._scoring if candidate.is_scored else self._training


def part_of(whole: int, need: int) -> float:
    """Return the smallest of 1, 1/2, 1/4 and so on of `whole` that holds `need`; at most 1.

    >>> part_of(16, 3), part_of(16, 4), part_of(16, 99)
    (0.25, 0.25, 1.0)
    """
    halvings = math.floor(math.log2(whole / need)) if 0 < need < whole else 0
    return float(0.5**halvings)
