"""The phases of a study: which candidates are due that no strategy proposes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

import numpy as np

from phylon import events
from phylon.config import Final, StudyConfig
from phylon.rank_meter import measure
from phylon.record import Record
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Phase, candidate_seed
from phylon.search.space import SearchSpace
from phylon.state import StudyState

SAMPLES_PER_PROBE = 4
_SAMPLE_STREAM = 0x5A3D1E  # keeps draws of samples and probes apart from those of the strategy
_TRIES = 50


def early_end(config: StudyConfig, state: StudyState) -> str:
    """Return why a study must end before its phases do; nothing if it need not."""
    supernet, ranked = state.supernet, state.ranked
    if supernet and supernet.state == "failed":
        return f"the shared weights could not be trained: {supernet.reason}"
    if ranked and ranked.verdict == "stopped":
        floor = f"the rank_floor of {config.supernet.rank_floor}"
        if ranked.kendall_tau is None:
            told = f"it could not be told whether scores with shared weights reach {floor}"
            return f"{told}: {ranked.probes} probes were trained"
        tau = f"a correlation of {ranked.kendall_tau:.2f}"
        return f"scores with shared weights rank networks with {tau}, below {floor}"
    return ""


class Agenda:
    """Says what comes when, from a study's configuration and state alone.

    With shared weights: first the supernet; then random networks are scored, a few of which, spread
    by their scores, are trained on their own while the search goes on. At the end of any study the
    best are trained longer.

    Args:
        config: What is to be done.
        space: Where random networks are drawn from.
    """

    def __init__(self, config: StudyConfig, space: SearchSpace) -> None:
        self._config = config
        self._space = space
        self._sharing = config.supernet if config.evaluator == "supernet" else None
        self._chosen: list[Record] | None = None

    def may_search(self, state: StudyState) -> bool:
        """Return whether the strategy's turn has come, and is not over."""
        if state.proposed["final"]:
            return False
        if self._sharing is None:
            return True
        supernet = state.supernet
        is_ready = supernet is not None and supernet.state == "completed"
        return is_ready and self._is_sampled(state) and not early_end(self._config, state)

    def due(self, state: StudyState, *, searching: bool) -> list[Candidate]:
        """Return the candidates that are due now and were not proposed yet.

        Args:
            state: The study.
            searching: Whether the strategy has its turn, now or after another result.
        """
        if self._sharing is not None:
            if early_end(self._config, state):
                return []
            if early := self._before_search(state) or self._next_probes(state, searching):
                return early
        if searching or state.pending or self._config.final is None:
            return []
        return self._missing_finals(state, self._config.final)

    def adapted(self, candidate: Candidate, state: StudyState) -> Candidate:
        """Return a strategy's candidate as it is to be measured."""
        if self._sharing is None or state.has_switched:
            return candidate
        supernet = state.supernet
        return replace(candidate, epochs=0, inherit_from=supernet.id if supernet else None)

    def judgement(self, state: StudyState) -> events.Ranked | None:
        """Return how well shared weights rank, if that is news."""
        if self._sharing is None or not self._sharing.probes or not self._is_sampled(state):
            return None
        probes = [r for r in state.records.values() if r.candidate.phase == "probe"]
        ended = [record for record in probes if record.state != "pending"]
        is_over = len(ended) == len(self._probed(state))
        completed = sum(record.state == "completed" for record in ended)
        before = state.ranked
        told = (before.probes, bool(before.verdict)) if before else (0, False)
        if told == (completed, is_over):
            return None
        found = measure(state)
        return events.Ranked(
            kendall_tau=found.kendall_tau,
            low=found.low,
            high=found.high,
            top_half=found.top_half,
            probes=found.probes,
            verdict=self._verdict(found.kendall_tau) if is_over else "",
        )

    def best_scored(self, state: StudyState, count: int) -> list[Architecture]:
        """Return the different networks, so many at most, that score best with shared weights."""
        completed = (r for r in state.records.values() if r.state == "completed")
        scored = sorted((r for r in completed if r.candidate.is_scored), key=state.rank)
        return [record.candidate.architecture for record in self._different(scored)[:count]]

    def _verdict(self, tau: float | None) -> events.Verdict:
        floor = self._sharing.rank_floor if self._sharing else None
        if self._sharing is None or floor is None:
            return "measured"
        if tau is not None and tau >= floor:
            return "trusted"
        return _VERDICTS[self._sharing.on_low_rank]

    def _before_search(self, state: StudyState) -> list[Candidate]:
        supernet = state.supernet
        if supernet is None:
            return [self._new("supernet", 0, Architecture({}))]
        if supernet.state == "pending":
            return []
        drawn = self._samples[state.proposed["sample"] :]
        first = len(state.records)
        return [
            self._new("sample", first + i, architecture, epochs=0, inherit_from=supernet.id)
            for i, architecture in enumerate(drawn)
        ]

    def _next_probes(self, state: StudyState, searching: bool) -> list[Candidate]:
        """Return the next probe, if none is being trained; all that are left after the search."""
        if not self._is_sampled(state):
            return []
        left = self._probed(state)[state.proposed["probe"] :]
        if searching:
            is_busy = any(r.candidate.phase == "probe" for r in state.pending.values())
            left = [] if is_busy else left[:1]
        first = len(state.records)
        return [
            self._new("probe", first + i, r.candidate.architecture, parents=(r.id,), generation=1)
            for i, r in enumerate(left)
        ]

    def _is_sampled(self, state: StudyState) -> bool:
        return state.proposed["sample"] == len(self._samples) and not any(
            record.candidate.phase == "sample" for record in state.pending.values()
        )

    def _probed(self, state: StudyState) -> list[Record]:
        """Return the samples that are probed: one at random of each stretch of their ranking."""
        if self._chosen is None:
            ranking = state.ranking("sample")
            rng = np.random.default_rng([self._config.seed, _SAMPLE_STREAM])
            count = self._sharing.probes if self._sharing else 0
            parts = np.array_split(np.arange(len(ranking)), max(count, 1))
            self._chosen = [ranking[rng.choice(part)] for part in parts if len(part) and count]
        return self._chosen

    @cached_property
    def _samples(self) -> list[Architecture]:
        """Random networks, all different; fewer than asked for if the space has no more."""
        count = SAMPLES_PER_PROBE * self._sharing.probes if self._sharing else 0
        found: dict[str, Architecture] = {}
        for number in range(_TRIES * count):
            rng = np.random.default_rng([self._config.seed, _SAMPLE_STREAM, number])
            architecture = self._space.sample(rng)
            found.setdefault(self._space.key(architecture), architecture)
            if len(found) == count:
                break
        return list(found.values())

    def _different(self, ranked: Iterable[Record]) -> list[Record]:
        """Return the first record of each network."""
        found: dict[str, Record] = {}
        for record in ranked:
            found.setdefault(self._space.key(record.candidate.architecture), record)
        return list(found.values())

    def _missing_finals(self, state: StudyState, final: Final) -> list[Candidate]:
        best = self._different(state.ranking("search"))[: final.top]
        first = len(state.records) - state.proposed["final"]
        supernet = state.supernet
        kinds: list[int | None] = [] if final.weights == "extracted" else [None]
        if supernet and final.weights != "fresh":
            kinds.append(supernet.id)
        repeated = [(r, kind) for r in best for kind in kinds for _ in range(final.seeds)]
        every = [
            self._new(
                "final",
                first + i,
                record.candidate.architecture,
                parents=(record.id,),
                generation=record.candidate.generation + 1,
                epochs=final.epochs,
                inherit_from=inherit_from,
            )
            for i, (record, inherit_from) in enumerate(repeated)
        ]
        return every[state.proposed["final"] :]

    def _new(
        self,
        phase: Phase,
        candidate_id: int,
        architecture: Architecture,
        *,
        parents: tuple[int, ...] = (),
        generation: int = 0,
        epochs: int | None = None,
        inherit_from: int | None = None,
    ) -> Candidate:
        return Candidate(
            id=candidate_id,
            architecture=architecture,
            parents=parents,
            operator=_OPERATORS[phase],
            generation=generation,
            phase=phase,
            seed=candidate_seed(self._config.seed, candidate_id),
            epochs=epochs,
            inherit_from=inherit_from,
        )


_VERDICTS: dict[str, events.Verdict] = {
    "warn": "warned",
    "switch": "switched",
    "stop": "stopped",
}
_OPERATORS = {"supernet": "share", "sample": "sample", "probe": "probe", "final": "retrain"}
