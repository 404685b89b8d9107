"""The picture of a study: leaderboard, best architecture in words, and what to type next."""

from __future__ import annotations

import shlex
import shutil
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from phylon import picture, rank_meter
from phylon.cluster.location import Location
from phylon.costs import LineCosts, line_of_weights
from phylon.progress import clock, shorten
from phylon.record import Record
from phylon.state import StudyState
from phylon.trainables.evaluator import COUNTED
from phylon.trainables.words import describe

_SUFFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def overview(
    state: StudyState, location: Location, status: str, *, rows: int = 10
) -> RenderableType:
    """Return the whole picture of a study.

    Args:
        state: The study.
        location: Where it lives.
        status: ``running``, ``finished`` or ``interrupted``.
        rows: How long the leaderboard may be.
    """
    parts: list[RenderableType] = [Rule(_headline(state, location.name, status), style="dim")]
    best = state.best
    if best is None:
        of = " of the search" if state.completed else ""
        parts.append(f"No candidate{of} has completed yet.")
    else:
        parts += [*_drawing(state), _search_table(state, rows)]
        if state.final_groups():
            parts.append(_final_table(state))
        parts.append(_verdict(state, best))
    parts += [*_trust(state), *_failures(state), _next_commands(state, location, status)]
    return Group(*map(_spaced, parts))


def _spaced(part: RenderableType) -> RenderableType:
    """Add the blank line that only a table brings with it."""
    return part if isinstance(part, Table) else Padding(part, (0, 0, 1, 0))


def family_table(state: StudyState) -> Table:
    """Return who descends from whom: a row for each candidate."""
    table = plain_table("Lineage")
    for heading in ("id", "phase", "made by", "generation", "state"):
        table.add_column(heading, justify="right" if heading in ("id", "generation") else "left")
    for objective in state.objectives:
        table.add_column(objective.metric, justify="right")
    for record in state.records.values():
        candidate = record.candidate
        found = (record.metrics.get(o.metric) for o in state.objectives)
        values = ["" if value is None else f"{value:.4f}" for value in found]
        cells = [str(record.id), candidate.phase, origin(record), str(candidate.generation)]
        table.add_row(*cells, _state(state, record), *values)
    return table


def mean_and_spread(values: Sequence[float]) -> str:
    """Return a mean and the standard deviation over seeds, if there are several.

    >>> mean_and_spread([0.5]), mean_and_spread([0.97, 0.98, 0.99]), mean_and_spread([12_345.0])
    ('0.5000', '0.9800 ± 0.0100', '12,345')
    """
    mean = statistics.fmean(values)
    size = abs(mean)
    form = ",.0f" if size >= 1e4 else ".3g" if 0 < size < 1e-3 else ".4f"
    told = format(mean, form)
    return told if len(values) < 2 else f"{told} ± {format(statistics.stdev(values), form)}"


def magnitude(value: float) -> str:
    """Return a count in few characters.

    >>> magnitude(950), magnitude(12_340), magnitude(5_600_000)
    ('950', '12.3k', '5.6M')
    """
    for size, suffix in _SUFFIXES:
        if value >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"


def _headline(state: StudyState, name: str, status: str) -> Text:
    counts = f"{state.completed} completed, {state.failed} failed, {len(state.pending)} open"
    return Text.assemble((name, "bold"), f"  {status}, {counts}, {clock(state.seconds)}")


def _drawing(state: StudyState) -> Iterator[RenderableType]:
    objective = state.objectives[0]
    ranking = state.ranking("search")
    # Scores with shared weights and results of training are not on one scale.
    alike = (r for r in ranking if r.candidate.is_scored == ranking[0].candidate.is_scored)
    feasible = [record for record in alike if not state.violation(record)]
    values = [r.metrics[objective.metric] for r in sorted(feasible, key=lambda r: r.id)]
    drawn = picture.draw(values, maximize=objective.direction == "maximize")
    each = "candidate that meets the constraints" if state.constraints else "candidate"
    caption = f"{objective.metric} of each {each} (·) and the best so far (━)"
    if drawn:
        yield Group(Text(drawn), Text(caption, style="dim"))


def _search_table(state: StudyState, rows: int) -> Table:
    ranking = state.ranking("search")
    told = {objective.metric for objective in state.objectives}
    bounded = [constraint.metric for constraint in state.constraints]
    costs = [name for name in COUNTED if any(name in record.metrics for record in ranking)]
    costs = [name for name in dict.fromkeys([*bounded, *costs]) if name not in told]
    table = plain_table("Search: the best candidates", expand=True)
    for heading in ("rank", "id"):
        table.add_column(heading, justify="right")
    for objective in state.objectives:
        arrow = "↑" if objective.direction == "maximize" else "↓"
        table.add_column(f"{objective.metric} {arrow}", justify="right")
    for heading in (*costs, "epochs"):
        table.add_column(heading, justify="right")
    table.add_column("made by", no_wrap=True)
    table.add_column("architecture", overflow="ellipsis", no_wrap=True, ratio=1)
    for rank, record in enumerate(ranking[:rows], start=1):
        values = [f"{record.metrics[o.metric]:.4f}" for o in state.objectives]
        sizes = [magnitude(record.metrics[n]) if n in record.metrics else "" for n in costs]
        place = "infeasible" if state.violation(record) else str(rank)
        cells = [place, str(record.id), *values, *sizes, _epochs(record)]
        style = "dim" if state.violation(record) else "bold" if rank == 1 else None
        table.add_row(*cells, origin(record), describe(record.candidate.architecture), style=style)
    return table


def _epochs(record: Record) -> str:
    return "0 (shared)" if record.candidate.is_scored else str(record.step or "")


def _final_table(state: StudyState) -> Table:
    groups = state.final_groups()
    inherits = any(group[0].candidate.inherit_from is not None for group in groups)
    table = plain_table("Final: trained again, longer")
    table.add_column("of candidate", justify="right")
    for objective in state.objectives:
        table.add_column(objective.metric, justify="right")
    for heading in ("trainings", "epochs", *(["weights"] if inherits else [])):
        table.add_column(heading, justify="left" if heading == "weights" else "right")
    winners = {record.id for record in state.winners()}
    for group in groups:
        values = [
            mean_and_spread([record.metrics[o.metric] for record in group])
            for o in state.objectives
        ]
        candidate = group[0].candidate
        style = "bold" if winners & {record.id for record in group} else None
        cells = [str(candidate.parents[0]), *values, str(len(group)), str(group[0].step or "")]
        weights = "fresh" if candidate.inherit_from is None else "extracted"
        table.add_row(*cells, *([weights] if inherits else []), style=style)
    return table


def plain_table(title: str, *, expand: bool = False) -> Table:
    """Return a table without rows, in the style of all others here."""
    return Table(
        title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, expand=expand
    )


def origin(record: Record) -> str:
    """Return how a candidate came about: ``crossover of 3, 7``."""
    parents = ", ".join(str(parent) for parent in record.candidate.parents)
    return f"{record.candidate.operator} of {parents}" if parents else record.candidate.operator


def _state(state: StudyState, record: Record) -> str:
    is_infeasible = record.state == "completed" and state.violation(record)
    return "infeasible" if is_infeasible else record.state


def _verdict(state: StudyState, best: Record) -> RenderableType:
    words = describe(best.candidate.architecture)
    lines = [Text.assemble(("The best network: ", "bold"), words)]
    winners = state.winners() or [best]
    trained = f" ({len(winners)} trainings)" if len(winners) > 1 else f" (candidate {best.id})"
    for objective in state.objectives:
        values = [record.metrics[objective.metric] for record in winners]
        line = f"{objective.metric}  {mean_and_spread(values)}{trained}"
        lines.append(Text(line, style="green"))
    if state.violation(best):
        lines.append(Text(_complaint(state, best), style="yellow"))
    if best.candidate.is_scored:
        lines.append(Text(_untrained(state), style="yellow"))
    tested = state.tested.metrics if state.tested else {}
    for metric, numbers in tested.items():
        note = " on a test split that the search never saw"
        lines.append(Text.assemble((f"{metric}  {mean_and_spread(numbers)}", "bold green"), note))
    lines += [Text(f"Candidate {r.id}: {r.note}", style="yellow") for r in winners if r.note]
    lines.append(Text(_price(state, best), style="dim"))
    return Group(*lines)


def _price(state: StudyState, best: Record) -> str:
    """Say what the best network cost, with all whose training is in its weights."""
    others = len(line_of_weights(state.records, best.id)) - 1
    more = f", with {others} other{'s' * (others > 1)} whose training is in its weights"
    more = more if others else ""
    return f"Cost of candidate {best.id}{more}: {LineCosts(state.records).line(best)}"


def _complaint(state: StudyState, best: Record) -> str:
    missed = (c for c in state.constraints if c.violation(best.metrics))
    words = "; ".join(f"{each}, but is {best.metrics[each.metric]:,.6g}" for each in missed)
    return f"No candidate meets the constraints; this one comes nearest: {words}"


def _untrained(state: StudyState) -> str:
    has_final = state.created is not None and state.created.config["final"]
    return "Scored with shared weights only; " + (
        "the final phase trains the best"
        if has_final
        else "there is nothing to test until it is trained, by a study with a `final` section"
    )


def _trust(state: StudyState) -> Iterator[RenderableType]:
    if state.ranked:
        style = "yellow" if rank_meter.is_low(state) else "green"
        yield Text(rank_meter.in_words(state.ranked).capitalize(), style=style)


def _failures(state: StudyState) -> Iterator[RenderableType]:
    records = (record for record in state.records.values() if record.state == "failed")
    reasons = Counter(shorten(record.reason) for record in records)
    if reasons:
        lines = [f"  {count} x {reason}" for reason, count in reasons.most_common(5)]
        rest = len(reasons) - len(lines)
        lines += [f"  and {rest} other reasons: phylon lineage tells all"] if rest > 0 else []
        yield Text("\n".join(["Failed candidates:", *lines]), style="yellow")


def _next_commands(state: StudyState, location: Location, status: str) -> RenderableType:
    place, phylon = _typed(location), _command()
    commands = {
        f"{phylon} resume {place}": "go on with the search",
        f"{phylon} ui {place}": "all runs, in MLflow",
        f"{phylon} show {place}": "this picture again",
        f"{phylon} report {place}": "all of it on a page",
        f"{phylon} lineage {place} --export lineage.parquet": "the family tree",
    }
    if status != "interrupted":
        del commands[f"{phylon} resume {place}"]
    if state.created and state.created.config["tracking"]["uri"] == "none":
        del commands[f"{phylon} ui {place}"]
    width = max(map(len, commands))
    lines = [
        Text.assemble("  ", (command.ljust(width), "cyan"), "  ", (meaning, "dim"), no_wrap=True)
        for command, meaning in commands.items()
    ]
    return Group(Text("Next:", style="bold"), *lines)


def _command() -> str:
    """Return how to call phylon from here: by name if the shell finds it, else by path."""
    if shutil.which("phylon"):
        return "phylon"
    return _typed(Location(Path(sys.executable).with_name("phylon")))


def _typed(location: Location) -> str:
    """Return a place as short as it can be typed from here."""
    here, there = Path.cwd(), location.resolved().local
    is_near = there is not None and there.is_relative_to(here)
    return shlex.quote(str(there.relative_to(here) if there and is_near else location))
