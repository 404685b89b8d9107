"""What a report consists of: sections of text and figures."""

from __future__ import annotations

from dataclasses import dataclass

from bokeh.model import Model
from markupsafe import Markup

Part = Markup | Model
"""HTML that is safe as it is (`Markup(...).format(value)` escapes values), or a figure."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report under a heading of its own.

    Attributes:
        anchor: What links to it name, e.g. ``family``.
        title: The heading, as plain text.
        parts: What is shown below it, from top to bottom.
    """

    anchor: str
    title: str
    parts: tuple[Part, ...]
