"""What candidates cost: each by itself, and with all whose training is in its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

from phylon.record import Record
from phylon.search.evaluation import INHERITED_SHARE


@dataclass(frozen=True, slots=True)
class Costs:
    """What was spent on candidates.

    Attributes:
        cpu_seconds: Seconds of their evaluations, times the CPU cores that they held.
        gpu_seconds: The same of GPUs.
        epochs: How long they were trained.
        joules: Energy; None if the machine of one of them does not tell it.
    """

    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    epochs: int = 0
    joules: float | None = 0.0

    def __add__(self, other: Costs) -> Costs:
        is_told = self.joules is not None and other.joules is not None
        return Costs(
            self.cpu_seconds + other.cpu_seconds,
            self.gpu_seconds + other.gpu_seconds,
            self.epochs + other.epochs,
            (self.joules or 0.0) + (other.joules or 0.0) if is_told else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        return asdict(self)

    def __str__(self) -> str:
        """Say it in words, without what is 0.

        >>> print(Costs(5400, 90, 12, 36e3), Costs(epochs=1, joules=None), sep="; ")
        12 epochs, 90 GPU seconds, 1.5 CPU hours, 10 Wh; 1 epoch
        """
        told = [f"{self.epochs:,} epoch{'s' * (self.epochs != 1)}"] if self.epochs else []
        for kind, seconds in (("GPU", self.gpu_seconds), ("CPU", self.cpu_seconds)):
            told += [_larger(seconds, f"{kind} seconds", f"{kind} hours")] if seconds else []
        told += [_larger(self.joules, "J", "Wh")] if self.joules else []
        return ", ".join(told) or "not known"


def _larger(value: float, unit: str, larger: str) -> str:
    """Return a number in its unit, or in that of which one is 3600 of these."""
    return f"{value:.3g} {unit}" if value < 900 else f"{value / 3600:,.3g} {larger}"


def share_of(record: Record) -> float | None:
    """Return which share of its parameters a candidate inherited, from 0 to 1.

    None if that was not measured: it inherits nothing, or is not at its end, or its evaluator does
    not tell.
    """
    return None if record.candidate.inherit_from is None else record.metrics.get(INHERITED_SHARE)


def is_heir(record: Record) -> bool:
    """Return whether a candidate began with another one's weights, as it was meant to."""
    return record.candidate.inherit_from is not None and share_of(record) != 0


def source(record: Record) -> int | None:
    """Return the candidate whose weights this one began with; None for random ones.

    For a training that goes on that is the one before it.
    """
    if record.candidate.continues is not None:
        return record.candidate.continues
    return record.candidate.inherit_from if is_heir(record) else None


def line_of_weights(records: Mapping[int, Record], number: int) -> list[Record]:
    """Return all whose training is in a candidate's weights, the first one first, itself last.

    Args:
        records: All candidates of the study by id.
        number: Id of one of them.
    """
    line = [records[number]]
    while (before := source(line[-1])) is not None:
        line.append(records[before])
    return line[::-1]


@final
class LineCosts:
    """Knows what candidates cost, alone and along their lines of weights.

    Args:
        records: All candidates of the study by id; may grow.
    """

    def __init__(self, records: Mapping[int, Record]) -> None:
        self._records = records
        self._lines: dict[int, Costs] = {}

    def alone(self, record: Record) -> Costs:
        """Return what was spent on a candidate from its own first epoch on.

        Its seconds are those of the attempt that went through.
        """
        continued = record.candidate.continues
        before = 0 if continued is None else self._records[continued].epochs
        held = record.resources
        return Costs(
            held.get("cpus", 0.0) * record.seconds,
            held.get("gpus", 0.0) * record.seconds,
            max(record.epochs - before, 0),
            record.joules,
        )

    def line(self, record: Record) -> Costs:
        """Return what a candidate's weights cost: it, and each whose training is in them, once."""
        added: list[Record] = []
        before: int | None = record.id
        while before is not None and before not in self._lines:
            added.append(self._records[before])
            before = source(added[-1])
        total = Costs() if before is None else self._lines[before]
        for each in reversed(added):
            total = total + self.alone(each)
            if each.ended is not None:
                self._lines[each.id] = total
        return total
