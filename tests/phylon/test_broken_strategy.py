"""What was measured is kept when something else than the storage ends a study."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from typing_extensions import override

from phylon import Candidate, Strategy, Study, events
from phylon.search import Outcome, Proposal
from tests.phylon.toy import journal, run

MENDED: list[bool] = []


class Broken(Strategy):
    """Chokes on the third result, until it is mended; `at` tells in which method."""

    def __init__(self, space: Any, *, objectives: int, seed: int, at: str) -> None:
        super().__init__(space, objectives=objectives, seed=seed)
        self._at = at
        self._seen = 0

    @override
    def _propose(self, rng: np.random.Generator) -> Proposal:
        self._choke("propose")
        return Proposal(self.space.sample(rng))

    @override
    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        self._seen += 1
        self._choke("observe")

    def _choke(self, at: str) -> None:
        if self._at == at and self._seen == 3 and not MENDED:
            raise RuntimeError("this strategy is broken")


@pytest.mark.parametrize("at", ["propose", "observe"])
def test_a_result_that_a_strategy_cannot_digest_is_not_lost(
    at: str, new_study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = new_study(strategy={"name": f"{__name__}:Broken", "at": at})
    with pytest.raises(RuntimeError, match="this strategy is broken"):
        run(study)
    ended = [e.candidate_id for e in journal(study) if isinstance(e, events.Completed)]
    assert ended == [0, 1, 2]
    monkeypatch.setattr(f"{__name__}.MENDED", [True])
    assert run(study, resume=True).completed == 8
    started = [e for e in journal(study) if isinstance(e, events.Proposed)]
    assert len(started) == 8
