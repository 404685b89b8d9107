"""What a running search shows: a live picture on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from phylon import events
from phylon.budget import Limit, limits
from phylon.config import Budget
from phylon.rank_meter import is_low
from phylon.record import Record
from phylon.search.candidate import Measurement, Phase
from phylon.state import StudyState
from phylon.streams import forgiving

_LINE_EVERY_S = 10.0
_IN_FRONT: tuple[Phase, ...] = ("supernet", "sample", "search", "final")
_BEHIND: Phase = "probe"


class Progress:
    """Shows a study's progress; call it with each event once the event is in `state`.

    A call costs microseconds. A terminal is drawn on by a thread of its own, four times a second,
    from what the last call left; elsewhere a line is printed at most every ten seconds. Nothing is
    shown, nor raised, once standard error cannot be written to.

    It shows the phase that began last, but for probes: they are trained in the background. Of a
    supernet, which is one candidate, it counts the epochs.

    Args:
        state: The study, kept up to date by the driver.
        totals: How many candidates each phase is to have; 0 if that is not known, or none.
        slots: How many candidates run at the same time.
        notice: Returns something worth a line besides, such as how far MLflow lags; else nothing.
        console: Where to draw; standard error unless told.
    """

    def __init__(
        self,
        state: StudyState,
        totals: Mapping[Phase, int],
        slots: int,
        *,
        notice: Callable[[], str] = str,
        console: Console | None = None,
    ) -> None:
        self._state = state
        self._totals = totals
        self._slots = slots
        self._notice = notice
        self._console = console or Console(file=forgiving(sys.stderr), stderr=True)
        self._live: Live | None = None
        self._printed_at = 0.0
        self._failure = ""
        begun = [phase for phase in _IN_FRONT if state.proposed[phase]]
        planned = [phase for phase in _IN_FRONT if totals.get(phase) or phase == "search"]
        self._enter_phase([*planned[:1], *begun][-1])

    def __enter__(self) -> Progress:
        """Begin to draw."""
        if self._console.is_terminal or self._console.is_jupyter:
            self._live = Live(
                console=self._console, refresh_per_second=4, get_renderable=self.picture
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Draw for the last time."""
        if self._live:
            self._live.stop()
        else:
            self._print()

    def __call__(self, event: events.Event) -> None:
        """Take an event into account."""
        match event:
            case events.Proposed(candidate=candidate):
                if candidate.phase not in (self._phase, _BEHIND):
                    self._enter_phase(candidate.phase)
                    self._printed_at = 0.0
            case events.Reported(candidate_id=number, measurement=measurement):
                self._follow(self._state.records[number], measurement)
            case events.Completed() | events.Failed():
                self._end(self._state.records[event.candidate_id])
            case events.Ranked(verdict="switched"):
                self._enter_phase(self._phase)  # the search begins anew
        self.remind()

    def remind(self) -> None:
        """Print a line where nothing is drawn, if the last one is long ago."""
        if not self._live and time.monotonic() - self._printed_at > _LINE_EVERY_S:
            self._print()

    def line(self) -> str:
        """Return where the study is, in one plain line."""
        best = f"best {self._best_in_words()}" if self._best else ""
        texts = (best, self._training, self._trust(), self._eta(), self._failure, self._notice())
        parts = [f"{self._phase} {self._done_in_words()}", *filter(None, texts)]
        return ", ".join(parts)

    def picture(self) -> RenderableType:
        """Return where the study is, for a terminal."""
        top = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=1.0, completed=self._share(), width=32)
        phase = Text(f"{self._phase:8}", style="bold")
        top.add_row(phase, bar, self._done_in_words(), self._eta())
        lines: list[RenderableType] = [top]
        for label, text, style in (
            ("best", self._best_in_words(), "green"),
            ("weights", self._training, "green"),
            ("probes", self._trust(), "yellow" if is_low(self._state) else "green"),
            ("last", self._failure, "yellow"),
            ("note", self._notice(), "yellow"),
        ):
            if text:
                lines.append(Text.assemble((f"{label:10}", "bold"), (text, style)))
        return Group(*lines)

    def _enter_phase(self, phase: Phase) -> None:
        records = [r for r in self._state.records.values() if self._is_of(phase, r)]
        # The state is ahead of the events that are still to be heard of.
        self._counted = {r.id for r in records if r.state != "pending"}
        self._phase = phase
        self._training = ""
        self._best: Record | None = None
        if phase == "supernet":
            self._total = self._epochs
            self._done = max((r.step for r in records), default=0)
        else:
            self._total = self._totals.get(phase, 0)
            self._done = len(self._counted)
            ranking = self._state.ranking(phase)
            self._best = next((r for r in ranking if self._is_of(phase, r)), None)
        self._done_before, self._share_before = self._done, self._share()
        self._begun_at = time.monotonic()

    def _is_of(self, phase: Phase, record: Record) -> bool:
        is_given_up = self._state.has_switched and record.candidate.is_scored
        return record.candidate.phase == phase and not is_given_up

    @property
    def _epochs(self) -> int:
        created = self._state.created
        return int(created.config["supernet"]["epochs"]) if created else 0

    def _follow(self, record: Record, measurement: Measurement) -> None:
        if record.candidate.phase == self._phase == "supernet":
            self._done = measurement.step
            values = measurement.metrics.items()
            self._training = " ".join(f"{name} {value:.4g}" for name, value in values)

    def _end(self, record: Record) -> None:
        if record.state == "failed":
            self._failure = f"candidate {record.id} failed: {shorten(record.reason)}"
        is_counted = record.id in self._counted or not self._is_of(self._phase, record)
        if self._phase == "supernet" or is_counted:
            return
        self._done += 1
        if record.state == "failed":
            return
        if self._best is None or self._state.rank(record) < self._state.rank(self._best):
            self._best = record

    def _done_in_words(self) -> str:
        running = min(len(self._state.pending), self._slots)
        unit = "epochs" if self._phase == "supernet" else "done"
        done = f"{self._done}/{self._total}" if self._total else str(self._done)
        spent = (f"{each.spent:.3g}/{each.most:g} {each.unit}" for each in self._limits())
        counts = f"{running} running, {self._state.failed} failed"
        return ", ".join((f"{done} {unit}", *spent, counts))

    def _limits(self) -> list[Limit]:
        """Return what else the search is bounded by than a number of candidates."""
        opened = self._state.opened
        if self._phase != "search" or not opened or not opened.budget:
            return []
        found = limits(Budget(**opened.budget), self._state, self._state.seconds)
        return [limit for limit in found if limit.unit != "candidates"]

    def _share(self) -> float:
        """Return how much of this phase is over, from 0 to 1; 0 if nothing tells."""
        shares = [limit.spent / limit.most for limit in self._limits()]
        shares += [self._done / self._total] if self._total else []
        return min(max(shares, default=0.0), 1.0)

    def _trust(self) -> str:
        """Return how far the probes are, and how well shared weights rank by them."""
        ranked, total = self._state.ranked, self._totals.get(_BEHIND, 0)
        is_warning = ranked is not None and bool(ranked.verdict) and is_low(self._state)
        if ranked is None or (self._phase == "final" and not is_warning):
            return ""
        tau = "" if ranked.kendall_tau is None else f", rank correlation {ranked.kendall_tau:.2f}"
        warning = ": the scores are not to be trusted" if is_warning else ""
        return f"{ranked.probes}/{total} probes{tau}{warning}"

    def _best_in_words(self) -> str:
        best = self._best
        if best is None:
            return ""
        values = (f"{o.metric} {best.metrics[o.metric]:.4g}" for o in self._state.objectives)
        mark = ", infeasible" if self._state.violation(best) else ""
        return f"{' '.join(values)} (candidate {best.id}{mark})"

    def _eta(self) -> str:
        """Return the time left in this phase, as far as it can be told."""
        share = self._share()
        new, gained = self._done - self._done_before, share - self._share_before
        if new < 2 or gained <= 0 or share >= 1:
            return ""
        return f"ETA {clock((time.monotonic() - self._begun_at) / gained * (1 - share))}"

    def _print(self) -> None:
        self._printed_at = time.monotonic()
        line = f"[{clock(self._state.seconds)}] {self.line()}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def clock(seconds: float) -> str:
    """Return a duration as people read it.

    >>> clock(75), clock(3675)
    ('1:15', '1:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def shorten(reason: str, width: int = 80) -> str:
    """Return the first line of a reason, cut to a width."""
    first = reason.strip().partition("\n")[0]
    return first if len(first) <= width else f"{first[: width - 3]}..."
