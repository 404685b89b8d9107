"""Contract tests that every strategy passes, for those in phylon and for yours.

A test class names the strategy, by a fixture, and inherits the tests::

    class TestMine(StrategyTests):
        @pytest.fixture
        def make(self) -> MakeStrategy:
            return MyStrategy

Needs pytest, which phylon does not install.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from typing import Protocol

import pytest

from phylon.search.candidate import Candidate, Outcome, candidate_seed
from phylon.search.errors import ConfigurationError, SpaceExhausted, StudyError
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy
from phylon.search.testing_runs import EVERY_NODE, SMALL, History, ask, asynchronous, outcome


class MakeStrategy(Protocol):
    """Makes a strategy; must be importable by name, to be sent to other processes."""

    def __call__(self, space: SearchSpace, *, objectives: int, seed: int) -> Strategy:
        """Return a new strategy."""


def digest(make: MakeStrategy, objectives: int = 1) -> str:
    """Return 16 digits that stand for 30 proposals; floats count to nine digits only."""
    history = asynchronous(make(EVERY_NODE, objectives=objectives, seed=1), 30)
    told = [{**c.to_json(), "architecture": _rounded(c)} for c, result in history if result is None]
    for fields in told:
        del fields["continues"], fields["inherit_from"]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


class StrategyTests:
    """What holds for every strategy. Override `make`; raise `objectives` to test with several."""

    objectives = 1
    cut_every = 1
    """How far apart the cuts of `test_replay_continues_at_every_cut` are, for slow strategies."""

    @pytest.fixture
    def make(self) -> MakeStrategy:
        """Return the strategy under test."""
        raise NotImplementedError("override the fixture `make` with your strategy")

    @pytest.fixture
    def strategy(self, make: MakeStrategy) -> Strategy:
        """Return a new strategy over a space with all kinds of nodes."""
        return make(EVERY_NODE, objectives=self.objectives, seed=3)

    def test_proposals_are_valid(self, strategy: Strategy) -> None:
        """Ids count from 0, architectures are in the space, descent is true, seeds are known."""
        candidates = _asked(asynchronous(strategy, 60))
        assert [c.id for c in candidates] == list(range(60))
        for candidate in candidates:
            strategy.space.validate(candidate.architecture)
            first = candidate
            while first.continues is not None:
                first = candidates[first.continues]
            assert candidate.seed == candidate_seed(strategy.seed, first.id)
            assert candidate.phase == "search"
            assert candidate.operator
            assert all(0 <= parent < candidate.id for parent in candidate.parents)
            assert strategy.inherits or candidate.inherit_from is None
            generations = [candidates[parent].generation for parent in candidate.parents]
            assert candidate.generation == max(generations, default=-1) + 1

    def test_candidates_round_trip_through_json(self, strategy: Strategy) -> None:
        """What a journal writes is what it reads."""
        for candidate in _asked(asynchronous(strategy, 40)):
            assert Candidate.from_json(json.loads(json.dumps(candidate.to_json()))) == candidate

    def test_reproducible_in_other_processes(
        self, make: MakeStrategy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A seed gives the same proposals wherever it runs; nothing hangs on the order of sets."""
        hashes, digests = set[int](), {digest(make, self.objectives)}
        for hash_seed in ("1", "2"):
            monkeypatch.setenv("PYTHONHASHSEED", hash_seed)
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                hashes.add(pool.submit(hash, "x").result())
                digests.add(pool.submit(digest, make, self.objectives).result())
        assert len(hashes) == 2, "the processes did not differ in their hashes"
        assert len(digests) == 1

    def test_another_seed_gives_other_proposals(self, make: MakeStrategy) -> None:
        """The seed counts, from the first proposal on."""
        firsts = [make(EVERY_NODE, objectives=self.objectives, seed=s).ask()[0] for s in range(9)]
        assert len({candidate.architecture for candidate in firsts}) == 9

    def test_asking_at_once_or_one_by_one_is_the_same(self, make: MakeStrategy) -> None:
        """The size of an ask does not change what is asked."""
        one, many = (make(EVERY_NODE, objectives=self.objectives, seed=5) for _ in range(2))
        for strategy in (one, many):
            asynchronous(strategy, 30)
        assert [each for _ in range(5) for each in ask(one, 1)] == ask(many, 5)

    def test_replay_continues_at_every_cut(self, make: MakeStrategy) -> None:
        """A history, cut anywhere and replayed, goes on as if it had never been cut."""
        history = asynchronous(make(EVERY_NODE, objectives=self.objectives, seed=4), 40)
        for cut in range(0, len(history), self.cut_every):
            strategy = make(EVERY_NODE, objectives=self.objectives, seed=4)
            strategy.replay(history[:cut])
            for candidate, result in history[cut:]:
                if result is None:
                    assert strategy.ask() == [candidate], f"after a cut at event {cut}"
                else:
                    strategy.tell(candidate, result)

    def test_children_inherit_from_living_parents(self, make: MakeStrategy) -> None:
        """Weights come from the first parent, which is among the living when the child is asked.

        Who lives was told and did not fail, and follows from the history.
        """
        strategy, again = (make(EVERY_NODE, objectives=self.objectives, seed=2) for _ in range(2))
        strategy.inherits = again.inherits = True
        asked, measured = list[Candidate](), set[int]()
        for candidate, result in asynchronous(strategy, 60):
            if result is None:
                asked.append(candidate)
                if candidate.continues is not None:
                    assert candidate.inherit_from == asked[candidate.continues].inherit_from
                else:
                    assert (candidate.inherit_from,) == (candidate.parents[:1] or (None,))
                    assert {*candidate.parents[:1]} <= {*again.living}
            elif not result.failed:
                measured.add(candidate.id)
            again.replay([(candidate, result)])
            assert measured.issuperset(again.living)
        assert ask(strategy, 3) == ask(again, 3)

    def test_survives_when_all_fail(self, strategy: Strategy) -> None:
        """There is always something to try next, and a failed candidate is nobody's parent."""
        for _ in range(60):
            (candidate,) = strategy.ask()
            assert candidate.parents == ()
            strategy.tell(candidate, Outcome())

    def test_failed_candidates_have_no_children(self, strategy: Strategy) -> None:
        """A parent is always a candidate that was measured before its child was asked."""
        measured = set[int]()
        for candidate, result in asynchronous(strategy, 80):
            if result is None:
                assert measured.issuperset(candidate.parents)
            elif not result.failed:
                measured.add(candidate.id)

    def test_survives_late_results(self, strategy: Strategy) -> None:
        """Nothing is told for long, or for as long as it can wait; then all of it, last first."""
        candidates = strategy.ask(40)
        assert len(candidates) == 40 or strategy.waits
        for candidate in reversed(candidates):
            strategy.tell(candidate, outcome(candidate, self.objectives))
        more = [candidate.id for candidate in strategy.ask(40)]
        assert more == list(range(len(candidates), strategy.asked))
        assert len(more) == 40 or strategy.waits

    def test_second_results_change_nothing(self, make: MakeStrategy) -> None:
        """Only the first outcome of a candidate counts."""
        once, twice = (make(EVERY_NODE, objectives=self.objectives, seed=6) for _ in range(2))
        for _ in range(50):
            (candidate,) = twice.ask()
            assert once.ask() == [candidate]
            for strategy in (once, twice):
                strategy.tell(candidate, outcome(candidate, self.objectives))
            twice.tell(candidate, Outcome((-9.0,) * self.objectives))
            twice.tell(candidate, Outcome())

    def test_results_may_be_revised(self, make: MakeStrategy) -> None:
        """Better measurements come late, of any candidate; those of unknown ones are refused."""
        strategy = make(EVERY_NODE, objectives=self.objectives, seed=8)
        history = asynchronous(strategy, 40)
        if strategy.waits:  # until it is told what is not in the history
            told = {each.id for each, result in history if result}
            for candidate in _asked(history):
                if candidate.id not in told:
                    result = outcome(candidate, self.objectives)
                    strategy.tell(candidate, result)
                    history.append((candidate, result))
        measured = [each for each, result in history if result and not result.failed]
        for candidate in reversed(measured):
            strategy.revise(candidate, Outcome((candidate.id / 40,) * self.objectives))
            strategy.revise(candidate, Outcome())
        (fresh,) = strategy.ask()
        with pytest.raises(StudyError, match="not told before"):
            strategy.revise(fresh, Outcome((0.5,) * self.objectives))
        with pytest.raises(StudyError, match="losses"):
            strategy.revise(measured[0], Outcome((0.5,) * (self.objectives + 1)))
        known = {each.id for each in measured}
        for candidate in [fresh, *ask(strategy, 20)]:
            strategy.space.validate(candidate.architecture)
            assert known.issuperset(candidate.parents)

    def test_finite_spaces_are_exhausted_exactly(self, make: MakeStrategy) -> None:
        """Every architecture is asked once; then the end is said, as often as one asks.

        What was asked may still be promoted.
        """
        strategy = make(SMALL, objectives=self.objectives, seed=7)
        if strategy.repeats:
            pytest.skip("this strategy measures networks again")
        history = asynchronous(strategy, int(SMALL.size) - 3)
        last = strategy.ask(100)
        asked = [each for each in _asked(history) + last if each.continues is None]
        assert len(asked) == SMALL.size
        assert {each.architecture for each in asked} == set(SMALL.enumerate())
        while last:
            with pytest.raises(SpaceExhausted, match="78"):
                strategy.ask()
            candidate = last.pop(0)
            strategy.tell(candidate, outcome(candidate, self.objectives))
            with suppress(SpaceExhausted):
                last += strategy.ask(100)
            assert all(each in asked or each.continues is not None for each in last)

    def test_wrong_use_is_refused(self, make: MakeStrategy, strategy: Strategy) -> None:
        """Foreign candidates and ill-formed losses are errors, and leave no trace."""
        (candidate,) = strategy.ask()
        (stranger,) = make(EVERY_NODE, objectives=self.objectives, seed=99).ask()
        good = Outcome((0.5,) * self.objectives)
        with pytest.raises(StudyError, match="another architecture"):
            strategy.tell(stranger, good)
        with pytest.raises(StudyError, match="never asked"):
            make(EVERY_NODE, objectives=self.objectives, seed=3).tell(candidate, good)
        for losses in ((0.5,) * (self.objectives + 1), (float("nan"),) * self.objectives):
            with pytest.raises(StudyError, match="losses"):
                strategy.tell(candidate, Outcome(losses))
        with pytest.raises(StudyError, match="gap"):
            make(EVERY_NODE, objectives=self.objectives, seed=3).replay([(strategy.ask()[0], None)])
        with pytest.raises(ConfigurationError, match="n is 0"):
            strategy.ask(0)
        with pytest.raises(ConfigurationError, match="seed is -1"):
            make(EVERY_NODE, objectives=self.objectives, seed=-1)
        strategy.tell(candidate, good)


def _asked(history: History) -> list[Candidate]:
    return [candidate for candidate, result in history if result is None]


def _rounded(candidate: Candidate) -> dict[str, object]:
    def leaves() -> Iterator[tuple[str, object]]:
        for name, value in candidate.architecture.flat.items():
            yield name, f"{value:.9g}" if isinstance(value, float) else value

    return dict(leaves())
