"""What can happen to a study: the journal lists these, and all else is derived from it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from phylon.errors import JournalError
from phylon.event_values import plain
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement
from phylon.search.proposal import Known

SCHEMA = 1
Verdict = Literal["", "measured", "trusted", "warned", "switched", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, at `time` (seconds since the epoch, by the driver's clock)."""

    time: float = field(default_factory=time.time)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data from which `from_json` makes an equal event."""
        kind = type(self)
        fields = {name: plain(getattr(self, name)) for name in _FIELD_NAMES[kind]}
        return {"event": kind.__name__, **fields}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Event:
        """Undo `to_json`.

        Raises:
            JournalError: The event is of a kind that this version does not know.
        """
        fields = dict(data)
        name = fields.pop("event")
        if name not in EVENTS:
            raise JournalError(
                f"event `{name}` is unknown to this version of phylon; open the study with the "
                f"version that wrote it, or a newer one"
            )
        return EVENTS[name].restore(fields)

    @classmethod
    def restore(cls, fields: dict[str, Any]) -> Event:
        """Build the event from its plain JSON fields, which it may change."""
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Created(Event):
    """The study began: what it is, for good.

    Attributes:
        uid: Unique name of this study among all, in MLflow too.
        config: The study file as it was understood.
        space: The search space as JSON.
        metrics: What the task reports.
        fingerprint: What the training data is (name, digest, sizes), as far as the task tells.
    """

    uid: str
    config: dict[str, Any]
    space: dict[str, Any]
    metrics: list[str]
    fingerprint: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    @classmethod
    def restore(cls, fields: dict[str, Any]) -> Event:
        """Build the event from its plain JSON fields."""
        if fields["schema"] > SCHEMA:
            raise JournalError(
                f"the study was written in schema {fields['schema']}, but this version of phylon "
                f"knows up to {SCHEMA}; open it with the version that wrote it, or a newer one"
            )
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Event):
    """A driver took the study over: the first one, or one that resumes it.

    Attributes:
        host: Name of the driver's machine.
        pid: Process id of the driver.
        versions: Versions of Python and of the packages that matter.
        budget: What this driver was asked to spend: candidates, epochs, hours, GPU hours.
        resources: What it gave each candidate.
        tracking: Where it kept MLflow's runs.
        revision: The git commit of its working directory, and whether files differ from it
            (``commit``, ``modified``); empty where there is none, or it is not known.
        machine: Its machine: ``cpu``, ``cores``, ``memory`` in bytes, ``gpus`` by name.
        slots: Candidates that it could have measured at once when it began; 0 if not known.
        dropped_bytes: Length of a torn tail that an earlier driver left.
    """

    host: str
    pid: int
    versions: dict[str, str]
    budget: dict[str, Any]
    resources: dict[str, Any] = field(default_factory=dict)
    tracking: dict[str, Any] = field(default_factory=dict)
    revision: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    slots: int = 0
    dropped_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Primed(Event):
    """The strategy was given something to begin with, before the first proposal.

    Attributes:
        start: Architectures to propose first.
        known: Results of earlier studies to learn from.
    """

    start: list[Architecture]
    known: list[Known] = field(default_factory=list)

    @classmethod
    def restore(cls, fields: dict[str, Any]) -> Event:
        """Build the event from its plain JSON fields."""
        fields["start"] = [Architecture(nested) for nested in fields["start"]]
        fields["known"] = [
            Known(Architecture(nested), tuple(scores)) for nested, scores in fields["known"]
        ]
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed(Event):
    """A candidate was decided on. Written before anybody is asked to train it."""

    candidate: Candidate

    @classmethod
    def restore(cls, fields: dict[str, Any]) -> Event:
        """Build the event from its plain JSON fields."""
        fields["candidate"] = Candidate.from_json(fields["candidate"])
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported(Event):
    """A candidate finished one step (epoch)."""

    candidate_id: int
    measurement: Measurement

    @classmethod
    def restore(cls, fields: dict[str, Any]) -> Event:
        """Build the event from its plain JSON fields."""
        fields["measurement"] = Measurement(**fields["measurement"])
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed(Event):
    """A candidate was measured to the end.

    Attributes:
        candidate_id: Which one.
        metrics: Its result: the metrics of its last measurement.
        seconds: Wall-clock seconds of its evaluation, all attempts' last one.
        resources: What it held meanwhile, e.g. ``{"cpus": 0.5, "gpus": 0.0}``.
        node: Where it ran.
        peak: Bytes of memory that it held at most; 0 if not known.
        joules: Energy that it took; None if its machine does not tell.
    """

    candidate_id: int
    metrics: dict[str, float]
    seconds: float
    resources: dict[str, float] = field(default_factory=dict)
    node: str = ""
    peak: int = 0
    joules: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """A candidate ended without a result, for the reason given."""

    candidate_id: int
    reason: str
    seconds: float = 0.0
    resources: dict[str, float] = field(default_factory=dict)
    node: str = ""
    peak: int = 0
    joules: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgrew(Event):
    """A candidate needs more memory than it held; it runs again, under the same id, with more.

    Attributes:
        candidate_id: Which one.
        resources: What it held.
        node: Where it ran.
        peak: Bytes of memory that it held at most, and that were not enough.
    """

    candidate_id: int
    resources: dict[str, float]
    node: str = ""
    peak: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost(Event):
    """A candidate's worker is gone; the candidate runs again under the same id.

    Attributes:
        candidate_id: Which one.
        reason: What is known of it.
        innocent: Whether its node died or was given back, rather than its worker alone.
    """

    candidate_id: int
    reason: str
    innocent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped(Event):
    """Nobody will ask for the weights and checkpoints of these again: they are removed."""

    candidate_ids: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked(Event):
    """It was measured how well shared weights rank networks that were trained on their own, too.

    Attributes:
        kendall_tau: Rank correlation of both scores over all probes; None if it cannot be told.
        low: Lower end of its 95 % bootstrap interval.
        high: Upper end.
        top_half: Rank correlation within the better half by stand-alone score.
        probes: How many networks were compared.
        verdict: What follows from it; empty as long as probes are being trained, ``measured``
            where no floor was set.
    """

    kendall_tau: float | None
    low: float | None
    high: float | None
    top_half: float | None
    probes: int
    verdict: Verdict = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested(Event):
    """The winner was measured on the test split, the only time that anything was.

    Attributes:
        candidate_ids: The trainings of the winning architecture, one per seed.
        metrics: Per metric the value of each of them, in the same order.
    """

    candidate_ids: list[int]
    metrics: dict[str, list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted(Event):
    """The driver stopped before the end, on purpose."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Event):
    """The study is at its end."""

    reason: str


_KINDS: tuple[type[Event], ...] = (
    Created, Opened, Primed, Proposed, Reported, Completed, Failed, Outgrew, Lost, Dropped, Ranked,
    Tested, Interrupted, Finished,
)  # fmt: skip
EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in _KINDS}
_FIELD_NAMES = {kind: tuple(each.name for each in dataclasses.fields(kind)) for kind in _KINDS}
