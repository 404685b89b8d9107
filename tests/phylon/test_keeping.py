"""Whose weights are kept: decided event by event, and the same as if all was looked at anew."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from phylon import events
from phylon.front import FRONT, front
from phylon.keeping import Keeping
from phylon.ledger import drop
from phylon.record import Record
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement
from phylon.state import StudyState

EPOCHS, POPULATION = 4, 3


class Chronicle:
    """A made-up study of evolution, which inherits, and of promotions; decided on in two ways."""

    def __init__(self, random: Random, objectives: int, keep: int) -> None:
        goals = [{"metric": m, "direction": "maximize"} for m in ("y", "z")[:objectives]]
        config = {"objectives": goals, "training": {"epochs": EPOCHS}}
        if random.random() < 0.5:
            config["constraints"] = [{"metric": "y", "at_most": 6.0}]
        self.random, self.keep = random, keep
        self.history: list[events.Event] = []
        self.state = StudyState()
        self.told: list[int] = []
        self.keeping = Keeping(keep, lambda: self.living)
        self.held: set[int] = set()
        self.let_go: list[int] = []
        self.is_over = False
        self.tell(events.Created(uid="u", config=config, space={}, metrics=["y", "z"]))

    @property
    def living(self) -> set[int]:
        return set(self.told[-POPULATION:])

    def tell(self, event: events.Event) -> None:
        self.state.apply(event)
        self.history.append(event)
        match event:
            case events.Proposed(candidate=candidate):
                self.is_over = candidate.phase == "final"
            case events.Finished():
                self.is_over = True
            case events.Completed() | events.Failed():
                self.held.add(event.candidate_id)
        note_told(self.told, event, self.state)
        let_go = self.keeping.after(event, self.state)
        assert let_go == sorted(self.held - self.needed()), event
        self.held -= set(let_go)
        self.let_go += let_go
        if dropped := drop(let_go, self.state):
            self.state.apply(dropped)
            self.history.append(dropped)

    def needed(self) -> set[int]:
        """Return whom anybody might ask for, from all records."""
        records = self.state.records.values()
        ranking = [r for r in self.state.ranking("search") if r.id in self.held]
        found = {r.id for r in ranking[: self.keep] + front(self.state, ranking)}
        found |= {r.id for r in records if r.state == "completed" and r.candidate.phase == "final"}
        pending = [record.candidate for record in self.state.pending.values()]
        found |= {n for c in pending for n in (c.inherit_from, c.continues) if n is not None}
        if not any(record.candidate.phase == "final" for record in records):
            found |= self.living
        if not self.is_over:
            found |= {r.id for r in records if self.may_be_promoted(r)}
        return found

    def may_be_promoted(self, record: Record) -> bool:
        is_short = record.state == "completed" and (record.candidate.epochs or EPOCHS) < EPOCHS
        return is_short and record.continued_by is None

    def propose(self) -> None:
        short = [r for r in self.state.records.values() if self.may_be_promoted(r)]
        number, more = len(self.state.records), {}
        if short and self.random.random() < 0.3:
            before = self.random.choice(short)
            more = {"continues": before.id, "epochs": 2 * (before.candidate.epochs or 1)}
        elif self.living and self.random.random() < 0.7:
            more = {"inherit_from": self.random.choice(sorted(self.living)), "epochs": 1}
        elif self.random.random() < 0.5:
            more = {"epochs": 1}
        self.tell(events.Proposed(candidate=Candidate(number, Architecture({}), **more)))

    def go_on(self) -> None:
        """Let one thing happen to a candidate that is open."""
        number = self.random.choice(list(self.state.pending))
        metrics = {"y": float(self.random.randint(0, 9)), "z": float(self.random.randint(0, 9))}
        kept = self.random.choice([None, "last.ckpt", "weights.safetensors"])
        measurement = Measurement(1, metrics, 0.1, kept)
        match self.random.randint(0, 5):
            case 0:
                self.tell(events.Lost(candidate_id=number, reason="its node died", innocent=True))
            case 1:
                self.tell(events.Failed(candidate_id=number, reason="bad luck"))
            case 2:
                self.tell(events.Reported(candidate_id=number, measurement=measurement))
            case _:
                self.tell(events.Reported(candidate_id=number, measurement=measurement))
                self.tell(events.Completed(candidate_id=number, metrics=metrics, seconds=1.0))

    def search(self, candidates: int, slots: int) -> None:
        while candidates or self.state.pending:
            if candidates and len(self.state.pending) < self.random.randint(1, slots):
                self.propose()
                candidates -= 1
            if self.state.pending:
                self.go_on()

    def train_longer(self) -> None:
        for best in self.state.ranking("search")[: self.keep]:
            number = len(self.state.records)
            fields = {"parents": (best.id,), "phase": "final", "epochs": 9}
            self.tell(events.Proposed(candidate=Candidate(number, Architecture({}), **fields)))
        while self.state.pending:
            self.go_on()


randoms = st.builds(Random, st.integers(0, 10**6))
sizes = st.integers(1, 20)
slots_and_keep = (st.integers(1, 4), st.integers(1, 3))


@given(randoms, sizes, *slots_and_keep)
def test_each_event_lets_go_exactly_what_has_become_useless(
    random: Random, candidates: int, slots: int, keep: int
) -> None:
    whole_story(random, 1, candidates, slots, keep)


@given(randoms, st.integers(1, FRONT // 2), *slots_and_keep)
def test_the_front_is_kept_as_well(random: Random, candidates: int, slots: int, keep: int) -> None:
    whole_story(random, 2, candidates, slots, keep)


@given(randoms, sizes, *slots_and_keep)
def test_a_replayed_journal_says_who_was_let_go_wherever_it_ends(
    random: Random, candidates: int, slots: int, keep: int
) -> None:
    story = whole_story(random, 1, candidates, slots, keep)
    keeping, state = replayed(story.history, keep)
    assert sorted(keeping.collect()) == sorted(story.let_go)
    assert keeping.overdue(state) == []
    cut = random.randint(1, len(story.history) - 1)
    keeping, state = replayed(story.history[:cut], keep)
    missing = story.history[cut]
    expected = missing.candidate_ids if isinstance(missing, events.Dropped) else []
    assert keeping.overdue(state) == expected


@given(randoms, sizes, *slots_and_keep)
def test_of_a_journal_that_never_told_all_that_is_useless_is_overdue(
    random: Random, candidates: int, slots: int, keep: int
) -> None:
    story = whole_story(random, 1, candidates, slots, keep)
    drops = [event for event in story.history if isinstance(event, events.Dropped)]
    keeping, state = replayed([event for event in story.history if event not in drops], keep)
    assert keeping.overdue(state) == sorted(n for event in drops for n in event.candidate_ids)
    let_go = [story.state.records[number] for number in story.let_go]
    assert not any(record.has_files or record.has_weights for record in let_go)


@given(randoms, sizes, *slots_and_keep)
def test_what_the_journal_dropped_is_gone_whoever_would_keep_it_today(
    random: Random, candidates: int, slots: int, keep: int
) -> None:
    story = whole_story(random, 1, candidates, slots, keep)
    drops = [event for event in story.history if isinstance(event, events.Dropped)]
    keeping, _ = replayed(story.history, keep + 2 * candidates)
    assert {n for event in drops for n in event.candidate_ids} <= set(keeping.collect())


def whole_story(
    random: Random, objectives: int, candidates: int, slots: int, keep: int
) -> Chronicle:
    """Return the story of a study that ended, and was prolonged or had a final phase."""
    story = Chronicle(random, objectives, keep)
    story.search(candidates, slots)
    if random.random() < 0.5:
        story.tell(events.Finished(reason="spent"))
        story.search(candidates, slots)
    else:
        story.train_longer()
    story.tell(events.Finished(reason="spent"))
    return story


def replayed(history: list[events.Event], keep: int) -> tuple[Keeping, StudyState]:
    state, told = StudyState(), list[int]()
    keeping = Keeping(keep, lambda: told[-POPULATION:])
    for event in history:
        state.apply(event)
        note_told(told, event, state)
        keeping.after(event, state)
    return keeping, state


def note_told(told: list[int], event: events.Event, state: StudyState) -> None:
    """Tell the strategy, whose population are the newest ones."""
    if isinstance(event, events.Completed):
        record = state.records[event.candidate_id]
        if record.candidate.phase == "search":
            told.append(record.id)
