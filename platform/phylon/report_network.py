"""The winner's network: drawn, and next to it what it is worth and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from phylon.history import History
from phylon.leaderboard import magnitude, mean_and_spread
from phylon.network_graph import cell_graph, draw_cell, draw_stages
from phylon.progress import clock
from phylon.record import Record
from phylon.report_candidates import shown_metrics
from phylon.report_section import Part, Section
from phylon.report_table import table
from phylon.state import StudyState
from phylon.trainables.words import is_macro_stage, spell


def network_section(history: History) -> Section | None:
    """Return the network that won, in drawings and numbers; None if there is none yet."""
    state = history.state
    best = state.best
    if best is None:
        return None
    measured = table(["measured", "value"], _numbers(state, best), numbers=["value"])
    *drawings, decided = _drawings(best.candidate.architecture.nested)
    beside = Markup('<div style="display: flex; flex-wrap: wrap; gap: 0 4rem">{}{}</div>')
    return Section("network", "The best network", (*drawings, beside.format(measured, decided)))


def _numbers(state: StudyState, best: Record) -> Iterator[tuple[str, str]]:
    winners = state.winners() or [best]
    goals = [objective.metric for objective in state.objectives]
    yield "candidate", ", ".join(str(record.id) for record in winners)
    for metric in goals:
        yield metric, mean_and_spread([record.metrics[metric] for record in winners])
    for metric, values in (state.tested.metrics if state.tested else {}).items():
        yield f"{metric}, on a test split that the search never saw", mean_and_spread(values)
    for metric in shown_metrics(state):
        if metric in best.metrics and metric not in goals:
            yield metric, magnitude(best.metrics[metric])
    yield from (("misses", str(each)) for each in state.constraints if each.violation(best.metrics))
    epochs = f"{best.epochs} epoch{'s' * (best.epochs != 1)}"
    yield "trained", "not on its own" if best.candidate.is_scored else epochs
    yield "took", clock(best.seconds)


def _drawings(decisions: Mapping[str, Any]) -> Iterator[Part]:
    """Yield a figure for each cell and for stages; at last a table of what else was decided."""
    rest: list[tuple[str, str]] = []
    for name, value in _places(decisions):
        title = name.replace("_", " ")
        if isinstance(value, Mapping) and (graph := cell_graph(value)):
            yield draw_cell(title, graph)
        elif isinstance(value, list) and value and all(map(is_macro_stage, value)):
            yield draw_stages(value)
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            yield _items(title, value)
        else:
            rest.append((title, spell(value)))
    yield table(["decided", "as"], rest) if rest else Markup()


def _places(block: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what was decided by its place: cells, lists, and single decisions."""
    for name, value in block.items():
        place = f"{above}{name}"
        if isinstance(value, Mapping) and cell_graph(value) is None:
            yield from _places(value, f"{place}, ")
        else:
            yield place, value


def _items(title: str, items: list[Mapping[str, Any]]) -> Markup:
    """Return the items of a repeat as the rows of a table."""
    names = list(dict.fromkeys(name for item in items for name in item))
    rows = [
        [number, *(spell(item[name]) if name in item else "" for name in names)]
        for number, item in enumerate(items, start=1)
    ]
    return table([title, *(name.replace("_", " ") for name in names)], rows)
