"""How many candidates a worker gets at once."""

from __future__ import annotations

from collections import Counter

from phylon.cluster.executor import Share
from phylon.cluster.line import MAX_BATCH, Line
from phylon.cluster.shares import FixedShares
from phylon.search import Architecture, Candidate
from tests.cluster.simulated import Study

SHARE = Share(1.0)


class Mixed(Study):
    """Candidates that are scored, but for some that are trained."""

    def __init__(self, number: int, trained: range) -> None:
        self._trained = trained
        super().__init__([SHARE] * number, seconds=1.0)

    def _new(self, number: int) -> Candidate:
        epochs = 3 if number in self._trained else 0
        return Candidate(number, Architecture({"i": number}), epochs=epochs, inherit_from=0)


def test_what_is_trained_is_never_handed_out_by_the_dozen_like_what_is_scored() -> None:
    study = Mixed(30, trained=range(10, 13))
    line = Line(study, FixedShares(SHARE, largest=0), Counter())
    taken = []
    while candidates := line.take(SHARE, most_others=1):
        taken.append([candidate.id for candidate in candidates])
        for candidate in candidates:
            line.learn(candidate, SHARE, 5.0 if candidate.id in range(10, 13) else 0.01)
    assert taken[:3] == [[0], [*range(1, 1 + MAX_BATCH)], [9]]
    assert taken[3:6] == [[10], [11], [12]]
    assert taken[6] == [*range(13, 13 + MAX_BATCH)]
    assert sum(map(len, taken)) == 30
