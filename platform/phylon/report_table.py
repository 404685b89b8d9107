"""Tables of the report, as HTML."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from markupsafe import Markup

_HEADING = Markup('<th scope="col"{}>{}</th>')
_CELL = Markup("<td{}>{}</td>")
_NUMBER = Markup(' class="num"')


def table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Collection[str] = ()
) -> Markup:
    """Return a table that scrolls sideways where it is too wide; what it holds is escaped.

    Args:
        headings: One for each column.
        rows: As many cells each.
        numbers: Headings of the columns that are aligned to the right.
    """
    kinds = [_NUMBER if heading in numbers else "" for heading in headings]

    def line(cell: Markup, texts: Sequence[object]) -> Markup:
        inner = (cell.format(kind, text) for kind, text in zip(kinds, texts, strict=True))
        return Markup("<tr>{}</tr>").format(Markup("").join(inner))

    body = Markup("\n").join(line(_CELL, row) for row in rows)
    return Markup(
        '<div class="scroll"><table><thead>{}</thead>\n<tbody>{}</tbody></table></div>'
    ).format(line(_HEADING, headings), body)
