"""Opens a study's journal: replays it, checks that it is the same study, and writes on."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from phylon import events
from phylon.cluster.location import Location
from phylon.environment import machine, revision, versions
from phylon.journal import JournalReader, JournalWriter
from phylon.keeping import Keeping
from phylon.ledger import drop, replay
from phylon.lock import Hold
from phylon.order import FreeOrder, Order, StrictOrder
from phylon.parts import new_strategy
from phylon.proposer import Proposer
from phylon.resumption import check_unchanged
from phylon.search.evaluation import Fingerprinted
from phylon.state import StudyState
from phylon.study import JOURNAL, Study

EARLY = "early"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenStudy:
    """A study with its journal open for writing.

    Attributes:
        study: The study.
        state: All that happened to it.
        proposer: Its strategy, where it was.
        keeping: Whose weights are needed.
        writer: Its journal.
        order: When events are written.
        held: Events that were taken but not yet written, in strict order.
        dropped_bytes: Length of the torn tail that was cut off.
        held_by: What keeps other drivers out.
    """

    study: Study
    state: StudyState
    proposer: Proposer
    keeping: Keeping
    writer: JournalWriter
    order: Order
    held: Iterable[events.Event]
    dropped_bytes: int
    held_by: Hold

    def begin(self, slots: int) -> None:
        """Write that this driver takes the study over; the first one also writes what it is.

        Args:
            slots: How many candidates it can measure at once.
        """
        config = self.study.config
        batch: list[events.Event] = [] if self.state.created else [_created(self.study)]
        batch.append(
            events.Opened(
                host=socket.gethostname(),
                pid=os.getpid(),
                versions=versions(),
                budget=config.budget.model_dump(),
                resources=config.resources.model_dump(),
                tracking=config.tracking.model_dump(),
                revision=revision(Path.cwd()),
                machine=machine(),
                slots=slots,
                dropped_bytes=self.dropped_bytes,
            )
        )
        self._write(*batch)
        self.drop_overdue()

    def drop_overdue(self) -> None:
        """Write whose weights are let go where the journal does not say so.

        Versions that kept others did not, nor did a driver that died before it could.
        """
        if dropped := drop(self.keeping.overdue(self.state), self.state):
            self._write(dropped)

    def _write(self, *batch: events.Event) -> None:
        self.writer.append(*batch)
        for event in batch:
            self.state.apply(event)


@contextmanager
def open_journal(study: Study, held_by: Hold) -> Iterator[OpenStudy]:
    """Replay a study's journal and open it for writing.

    Args:
        study: The study.
        held_by: What keeps other drivers out.

    Raises:
        JournalError: It is damaged, or cannot be written.
        StudyError: It is of a study with another space or other settings.
    """
    journal, early_journal = study.location / JOURNAL, study.location / EARLY
    reader = JournalReader(journal.filesystem, journal.path)
    proposer = Proposer(lambda: new_strategy(study.config, study.parts.space))
    keeping = _keeping(study, proposer)
    state = replay(_same_study(reader.read(), study), proposer, keeping)
    if reader.tail:
        log.warning(
            "the journal of %s ends in half an event: its last %d bytes are put aside in %s",
            study.location, len(reader.tail), f"{JOURNAL}/{reader.segment}.torn-at-{reader.offset}",
        )  # fmt: skip
    early = JournalReader(early_journal.filesystem, early_journal.path)
    held = list(early.read()) if study.config.order == "strict" else []
    with ExitStack() as stack:
        writer = stack.enter_context(closing(_writer(journal, reader, held_by)))
        order: Order = FreeOrder()
        if study.config.order == "strict":
            early_writer = stack.enter_context(closing(_writer(early_journal, early, held_by)))
            order = StrictOrder(study.config.window, early_writer, state)
        torn = len(reader.tail)
        yield OpenStudy(study, state, proposer, keeping, writer, order, held, torn, held_by)


def _keeping(study: Study, proposer: Proposer) -> Keeping:
    final = study.config.final
    return Keeping(final.top if final else 1, lambda: proposer.living)


def _writer(location: Location, reader: JournalReader, held_by: Hold) -> JournalWriter:
    return JournalWriter(location.filesystem, location.path, reader=reader, check=held_by.check)


def _same_study(history: Iterable[events.Event], study: Study) -> Iterator[events.Event]:
    for event in history:
        if isinstance(event, events.Created):
            check_unchanged(event, study.config, study.parts.space)
        yield event


def _created(study: Study) -> events.Created:
    evaluator: object = study.parts.evaluator
    return events.Created(
        uid=uuid.uuid4().hex,
        config=study.config.to_json(),
        space=study.parts.space.to_json(),
        metrics=list(study.parts.evaluator.metrics),
        fingerprint=evaluator.fingerprint() if isinstance(evaluator, Fingerprinted) else {},
    )
