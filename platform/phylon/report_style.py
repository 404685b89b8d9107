"""How the figures of a report look: alike, quiet, and legible on light and on dark pages.

Text, axes and grids take their colours from the page (the variables ``--bk-...`` in
``report.html``), so they follow the reader's light or dark mode; what is drawn has colours that
stand out from both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from bokeh.models import BasicTickFormatter, CustomJSTickFormatter
from bokeh.plotting import figure
from markupsafe import Markup
from numpy.typing import ArrayLike, NDArray

PALETTE = (
    "#3b7dd8", "#e0701a", "#1f9d7a", "#c2459a", "#8a63d2", "#b08a00", "#d64545", "#0e94b0",
    "#6f9a2d", "#a8694a",
)  # fmt: skip
"""Colours of kinds, the most frequent first."""
MUTED = "#767e89"
"""What stays in the background: dominated, grey, of no kind."""
_SHORT = """
const style = {notation: "compact", maximumSignificantDigits: 4}
return new Intl.NumberFormat("en", style).format(tick)
"""
_STOPS = ("#4a68c8", "#8a5cc8", "#c8509f", "#e25d62", "#e58a2e")


def new_figure(**settings: Any) -> figure:  # noqa: ANN401 - of bokeh's figure
    """Return an empty figure as wide as the page; settings are those of `bokeh.plotting.figure`.

    The wheel scrolls the page until it is switched to zooming, unless ``active_scroll`` tells
    otherwise. Thousands of points want ``output_backend="webgl"``.
    """
    usual = {"sizing_mode": "stretch_width", "height": 340, "tools": "pan,wheel_zoom,reset"}
    plot = figure(**{**usual, "toolbar_location": "above", "active_drag": None, **settings})
    plot.background_fill_color = plot.border_fill_color = plot.outline_line_color = None
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.axis.minor_tick_line_color = None
    plot.axis.axis_label_text_font_style = "normal"
    for axis in plot.axis:
        if isinstance(axis.formatter, BasicTickFormatter):
            axis.formatter = CustomJSTickFormatter(code=_SHORT)
    return plot


def colours(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each name: those that occur most often have one of their own."""
    ordered = [name for name, _ in sorted(Counter(names).items(), key=lambda i: (-i[1], i[0]))]
    return {n: PALETTE[i] if i < len(PALETTE) else MUTED for i, n in enumerate(ordered)}


def compact(values: ArrayLike) -> NDArray[np.float32]:
    """Return numbers as a column of a figure that takes little room: in single precision.

    What is beyond that becomes infinite, and is not drawn.
    """
    with np.errstate(over="ignore"):
        return np.asarray(values, dtype=np.float32)


def legend(kinds: Iterable[tuple[str, str]]) -> Markup:
    """Return what the colours mean, as HTML to stand above a figure.

    Args:
        kinds: Names and their colours.
    """
    item = Markup('<li><span style="background:{}"></span>{}</li>')
    items = Markup().join(item.format(colour, name) for name, colour in kinds)
    return Markup('<ul class="legend">{}</ul>').format(items)


def _between(first: str, second: str, share: float) -> str:
    """Return the colour that lies between two."""
    ends = ([int(each[i : i + 2], 16) for i in (1, 3, 5)] for each in (first, second))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(*ends, strict=True))


RAMP = tuple(
    _between(_STOPS[i // 16], _STOPS[i // 16 + 1], i % 16 / 15)
    for i in range(16 * (len(_STOPS) - 1))
)
"""Colours of a number, from low to high."""
