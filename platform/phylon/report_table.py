"""Tables of the report, as HTML."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from markupsafe import Markup

_CELL = {
    True: Markup('<{tag} class="num">{text}</{tag}>'),
    False: Markup("<{tag}>{text}</{tag}>"),
}


def table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Collection[str] = ()
) -> Markup:
    """Return a table that scrolls sideways where it is too wide; what it holds is escaped.

    Args:
        headings: One for each column.
        rows: As many cells each.
        numbers: Headings of the columns that are aligned to the right.
    """
    are_numbers = [heading in numbers for heading in headings]

    def line(tag: str, cells: Sequence[object]) -> Markup:
        told = zip(cells, are_numbers, strict=True)
        inner = (_CELL[is_number].format(tag=tag, text=cell) for cell, is_number in told)
        return Markup("<tr>{}</tr>").format(Markup("").join(inner))

    body = Markup("\n").join(line("td", row) for row in rows)
    return Markup(
        '<div class="scroll"><table><thead>{}</thead>\n<tbody>{}</tbody></table></div>'
    ).format(line("th", headings), body)
