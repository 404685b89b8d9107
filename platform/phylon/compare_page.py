"""The page of a comparison: its sections, with tables and figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bokeh.models import ColumnDataSource, HoverTool
from bokeh.plotting import figure
from markupsafe import Markup

from phylon.compare_curves import Band, band
from phylon.compare_results import Comparison
from phylon.compare_tables import Grid, grids, studies_grid
from phylon.errors import ConfigurationError
from phylon.leaderboard import mean_and_spread
from phylon.report_page import Head, Tile, render_page
from phylon.report_section import Part, Section
from phylon.report_style import PALETTE, compact, legend, new_figure
from phylon.report_table import table


def write_page(comparison: Comparison, file: Path) -> None:
    """Write the page of a comparison to a new file.

    Raises:
        ConfigurationError: The file exists, or cannot be written.
    """
    page = render_page(_head(comparison), list(sections(comparison)))
    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(page)
    except FileExistsError:
        raise ConfigurationError(
            f"--out: {file} exists; move it away, or name another file: --out FILE.html"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"--out: {file} cannot be written: {error.strerror or error}; name another file: "
            f"--out FILE.html"
        ) from None


def _head(comparison: Comparison) -> Head:
    groups = [standing.group for standing in comparison.standings]
    count = sum(len(group.studies) for group in groups)
    tiles = []
    for standing in comparison.standings:
        found = mean_and_spread(standing.found) if standing.found else "nothing"
        note = f"{comparison.scale.name}, {len(standing.found)} of {len(standing.curves)} studies"
        tiles.append(Tile(standing.group.label, found, note))
    return Head(
        eyebrow="Studies side by side, by phylon",
        name=" against ".join(group.label for group in groups),
        tiles=tuple(tiles),
        source=f"the journals of {count} studies",
    )


def sections(comparison: Comparison) -> Iterator[Section]:
    """Yield what the page of a comparison consists of."""
    best, *others = grids(comparison)
    notes = (Markup('<p class="warn">{}</p>').format(note) for note in comparison.notes)
    yield Section("best", best.title, (*notes, *_table(best)))
    if any(curve.found for standing in comparison.standings for curve in standing.curves):
        caption = Markup(
            '<p class="note">The best so far: the median over the studies of a group, with '
            "quartiles, from where all have a result to where the first one ends. Failed "
            "candidates count.</p>"
        )
        yield Section("curves", "The way there", (caption, *_curves(comparison)))
    for grid in others:
        yield Section(grid.anchor, grid.title, _table(grid))
    every = studies_grid(comparison)
    yield Section(every.anchor, every.title, _table(every))


def _table(grid: Grid) -> tuple[Markup, ...]:
    made = table(grid.headings, grid.rows, numbers=grid.numbers)
    note = Markup('<p class="note">{}</p>').format(grid.note)
    return (made, note) if grid.note else (made,)


def _curves(comparison: Comparison) -> Iterator[Part]:
    labels = [standing.group.label for standing in comparison.standings]
    colours = [PALETTE[place % len(PALETTE)] for place in range(len(labels))]
    yield legend(zip(labels, colours, strict=True))
    for by_cost in (False, True):
        amount = comparison.currency.label if by_cost else "candidates"
        plot = new_figure(x_axis_label=amount, y_axis_label=comparison.scale.name)
        for standing, colour in zip(comparison.standings, colours, strict=True):
            drawn = band(standing.curves, by_cost=by_cost)
            if len(drawn.at):
                _draw(plot, drawn, standing.group.label, amount, colour)
        yield plot


def _draw(plot: figure, drawn: Band, label: str, amount: str, colour: str) -> None:
    columns = {"at": drawn.at, "low": drawn.low, "middle": drawn.middle, "high": drawn.high}
    source = ColumnDataSource({name: compact(values) for name, values in columns.items()})
    source.data["group"] = [label] * len(drawn.at)
    if (drawn.low < drawn.high).any():
        plot.varea_step(
            "at", "low", "high", source=source, step_mode="after", color=colour, alpha=0.18
        )
    plot.step("at", "middle", source=source, mode="after", line_width=2, color=colour)
    points = plot.scatter("at", "middle", source=source, size=5, color=colour)
    names = {"at": amount, "middle": "median", "low": "lower quartile", "high": "upper quartile"}
    tips = [("group", "@group"), *((name, f"@{key}{{0.[0000]}}") for key, name in names.items())]
    plot.add_tools(HoverTool(renderers=[points], tooltips=tips, visible=False))
