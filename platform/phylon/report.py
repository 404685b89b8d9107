"""A study as one page to read: what stands at its head, and its sections in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from markupsafe import Markup

from phylon.history import History
from phylon.leaderboard import magnitude, mean_and_spread
from phylon.progress import clock
from phylon.report_decisions import decisions_section
from phylon.report_failures import failures_section
from phylon.report_front import front_section
from phylon.report_network import network_section
from phylon.report_operators import operators_section
from phylon.report_page import Head, Tile, moment, render_page
from phylon.report_progress import progress_section
from phylon.report_section import Section
from phylon.report_sheet import sheet_section
from phylon.report_slots import slots_section
from phylon.report_tree import tree_section
from phylon.state import StudyState
from phylon.study import status_of
from phylon.trainables.words import describe

_SECTIONS: tuple[Callable[[History], Section | None], ...] = (
    progress_section,
    tree_section,
    network_section,
    front_section,
    decisions_section,
    operators_section,
    failures_section,
    slots_section,
    sheet_section,
)
_MARK = Markup('<meta name="phylon-study" content="{}">')
_NOTHING = "No candidate{} has completed yet, so there is no best network, and little else to show."


def build_report(history: History) -> str:
    """Return a study's report as HTML.

    Args:
        history: The study, and how it went.
    """
    sections = [section for make in _SECTIONS if (section := make(history))]
    state, created = history.state, history.created
    best = state.best
    head = Head(
        eyebrow="A search for a network, by phylon",
        name=created.config["name"],
        tiles=tuple(_tiles(history)),
        source=f"the study's journal, in {history.location}",
        mark=_MARK.format(created.uid),
        status=status_of(history.location, state),
        words=describe(best.candidate.architecture) if best else "",
        warning="" if best else _NOTHING.format(" of the search" if state.completed else ""),
    )
    return render_page(head, sections)


def is_report_of(uid: str, content: bytes) -> bool:
    """Return whether a file's content is a report of the study of that name."""
    mark = _MARK.format(uid).encode()
    return mark in content[: 2 * len(mark) + 1024]


def _tiles(history: History) -> Iterator[Tile]:
    state = history.state
    yield from _best_tiles(state)
    counts = [f"{state.failed} failed" if state.failed else "none failed"]
    counts += [f"{len(state.pending)} open"] if state.pending else []
    yield Tile("Candidates completed", f"{state.completed:,}", ", ".join(counts))
    cpus, gpus = (
        sum(r.seconds * r.resources.get(kind, 0.0) for r in state.records.values()) / 3600
        for kind in ("cpus", "gpus")
    )
    spent = f"{magnitude(gpus)} GPU hours" if gpus else f"{magnitude(cpus)} CPU hours"
    yield Tile("Cost", spent, f"and {magnitude(cpus)} CPU hours" if gpus else "")
    yield Tile("Time", clock(state.seconds), f"from {moment(history.created.time)}")


def _best_tiles(state: StudyState) -> Iterator[Tile]:
    best = state.best
    if best is None:
        yield Tile("Best", "none yet")
        return
    winners = state.winners() or [best]
    note = f"{len(winners)} trainings" if len(winners) > 1 else f"candidate {best.id}"
    note += ", infeasible" if state.violation(best) else ""
    note += ", with shared weights only" if best.candidate.is_scored else ""
    for objective in state.objectives:  # the first one ranks
        values = [record.metrics[objective.metric] for record in winners]
        whose = "Best" if objective == state.objectives[0] else "Its"
        yield Tile(f"{whose} {objective.metric}", mean_and_spread(values), note)
    for metric, numbers in (state.tested.metrics if state.tested else {}).items():
        yield Tile(metric, mean_and_spread(numbers), "on the test split, never seen before")
