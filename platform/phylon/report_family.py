"""The family of all candidates, and where each stands when its tree is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylon.record import Record
from phylon.report_candidates import operator_colours
from phylon.report_style import compact
from phylon.state import StudyState
from phylon.tree_layout import Places, place

_MANY = 3000


@dataclass(frozen=True)
class Family:
    """All candidates in the order of their ids, and where they stand.

    Attributes:
        state: The study.
        records: The candidates.
        parents: The indices of the parents of each.
        places: Where each stands.
        shown: Index of the one whose line of descent is shown first: of the best, if there is one.
    """

    state: StudyState
    records: Sequence[Record]
    parents: Sequence[Sequence[int]]
    places: Places
    shown: int

    @classmethod
    def of(cls, state: StudyState, records: Sequence[Record]) -> Family:
        """Place the candidates of a study."""
        index = {record.id: number for number, record in enumerate(records)}
        parents = [[index[parent] for parent in r.candidate.parents] for r in records]
        shown = index[state.best.id] if state.best else len(records) - 1
        return cls(state, records, parents, place(parents, line_to(parents, shown)), shown)

    @property
    def hues(self) -> dict[str, str]:
        """The colour of each operator."""
        return operator_colours(self.state)

    @property
    def smoothness(self) -> int:
        """Of how many points the curve from a parent to a child is made."""
        return 12 if len(self.records) < _MANY else 5

    def edges(self, operator: str, *, of_first: bool) -> tuple[list[int], list[int]]:
        """Return parents and children, by index, of what an operator made."""
        found = [
            (parent, child)
            for child, record in enumerate(self.records)
            if record.candidate.operator == operator
            for parent in (self.parents[child][:1] if of_first else self.parents[child][1:])
        ]
        return [parent for parent, _ in found], [child for _, child in found]

    def curves(
        self, parents: Sequence[int], children: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return curves that leave parents and reach children upright, with NaN between two."""
        t = np.linspace(0, 1, self.smoothness)
        begin, end = np.array(parents, int), np.array(children, int)
        points = []
        for values, way in ((self.places.x, t * t * (3 - 2 * t)), (self.places.row, t)):
            each = values[begin, None] + (values[end] - values[begin])[:, None] * way
            apart = np.pad(each, ((0, 0), (0, 1)), constant_values=math.nan)
            points.append(compact(apart.ravel()))
        return points[0], points[1]


def line_to(parents: Sequence[Sequence[int]], member: int) -> list[int]:
    """Return the line of descent to a member, by index, beginning with it: by first parents."""
    line = [member]
    while parents[line[-1]]:
        line.append(parents[line[-1]][0])
    return line
