"""A page to read: an HTML file that needs nothing but a browser.

The page holds all that it shows, and forbids itself the network; it opens from disk as it does in
MLflow's viewer of artifacts. Figures are drawn one after another once the text is there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import jinja2
from bokeh.core.types import ID
from bokeh.embed import json_item
from bokeh.models import Axis, PlainText, Plot
from bokeh.models.annotations import Title
from bokeh.resources import Resources
from markupsafe import Markup

from phylon.report_section import Part, Section

_DAY = "%Y-%m-%d %H:%M UTC"


@dataclass(frozen=True, slots=True)
class Tile:
    """A number that matters, with what it is and a word to it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """What stands on a page around its sections.

    Attributes:
        eyebrow: What kind of page it is.
        name: Of what.
        tiles: The numbers that matter.
        source: What the page was made from.
        mark: HTML for the page's head, to know it again by; None if nobody has to.
        status: How far it is; empty if that is no question.
        words: What the best network is; empty if there is none.
        warning: What a reader has to know before all; empty if nothing.
    """

    eyebrow: str
    name: str
    tiles: tuple[Tile, ...]
    source: str
    mark: Markup | None = None
    status: str = ""
    words: str = ""
    warning: str = ""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A part of a section as the template shows it: HTML, or a figure as JSON with its place."""

    text: Markup | None = None
    figure: Any = None
    id: str = ""


def render_page(head: Head, sections: Sequence[Section]) -> str:
    """Return a page as HTML."""
    models = [part for section in sections for part in section.parts if not isinstance(part, str)]
    for model in models:
        _say_plainly(model)
    numbered = iter(range(len(models)))
    return _template().render(
        version=version("phylon"),
        head=head,
        sections=[
            {
                "anchor": each.anchor,
                "title": each.title,
                "parts": [_shown(part, numbered) for part in each.parts],
            }
            for each in sections
        ],
        resources=Markup(_resources(models)) if models else "",
        made=moment(time.time()),
    )


def _shown(part: Part, numbered: Iterator[int]) -> _Shown:
    if isinstance(part, Markup):
        return _Shown(text=part)
    place = f"figure-{next(numbered)}"
    return _Shown(figure=json_item(part, ID(place)), id=place)


def _say_plainly(model: Any) -> None:  # noqa: ANN401 - any of bokeh's models
    """Keep bokeh from taking names with dollars in them for formulas, which it would fetch."""
    for title in model.select({"type": Title}):
        if isinstance(title.text, str):
            title.text = PlainText(text=title.text)
    for axis in model.select({"type": Axis}):
        if isinstance(axis.axis_label, str):
            axis.axis_label = PlainText(text=axis.axis_label)
        overrides = axis.major_label_overrides
        axis.major_label_overrides = {
            place: PlainText(text=label) if isinstance(label, str) else label
            for place, label in overrides.items()
        }


def _resources(models: list[Any]) -> str:
    """Return bokeh's scripts, as far as the figures need them."""
    plots = [plot for model in models for plot in model.select({"type": Plot})]
    quick = any(plot.output_backend == "webgl" for plot in plots)
    resources = Resources(mode="inline", log_level="warn")
    resources.components = ["bokeh", "bokeh-gl"] if quick else ["bokeh"]
    return resources.render_js()


def moment(seconds: float) -> str:
    """Return a time in seconds since the epoch as people read it."""
    return time.strftime(_DAY, time.gmtime(seconds))


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("phylon", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {}  # bokeh defines things before it refers to them
    return environment.get_template("report.html")
