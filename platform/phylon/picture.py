"""A search drawn with characters: every candidate a dot, the best so far a line."""

from __future__ import annotations

from collections.abc import Sequence

_HEIGHT = 8
_FEWEST = 5


def draw(values: Sequence[float], *, maximize: bool, width: int = 60) -> str:
    """Draw the values of a search in the order of its candidates.

    Args:
        values: The objective of each completed candidate, in the order of the ids.
        maximize: Whether more is better.
        width: Columns to draw on; several candidates share a column if need be.

    Returns:
        Lines of text; empty if there are too few values. Values far worse than most are
        drawn on the edge.
    """
    if len(values) < _FEWEST:
        return ""
    columns = min(width, len(values))
    bests = _best_so_far(values, maximize=maximize)
    low, high = _range(values, maximize=maximize)
    grid = [[" "] * columns for _ in range(_HEIGHT)]
    for position, value in enumerate(values):
        grid[_row(value, low, high)][position * columns // len(values)] = "·"
    for position, value in enumerate(bests):
        grid[_row(value, low, high)][position * columns // len(values)] = "━"
    labels = [""] * _HEIGHT
    labels[0], labels[-1] = f"{high:.4g}", f"{low:.4g}"
    margin = max(map(len, labels))
    return "\n".join(
        f"{label:>{margin}} ┤{''.join(row)}".rstrip()
        for label, row in zip(labels, grid, strict=True)
    )


def _best_so_far(values: Sequence[float], *, maximize: bool) -> list[float]:
    better = max if maximize else min
    bests = [values[0]]
    for value in values[1:]:
        bests.append(better(bests[-1], value))
    return bests


def _range(values: Sequence[float], *, maximize: bool) -> tuple[float, float]:
    """Return the lowest and highest value to draw, without the worst tenth."""
    ordered = sorted(values)
    spare = len(ordered) // 10
    return (ordered[spare], ordered[-1]) if maximize else (ordered[0], ordered[-1 - spare])


def _row(value: float, low: float, high: float) -> int:
    share = (value - low) / (high - low) if high > low else 1.0
    return round((_HEIGHT - 1) * (1 - min(1.0, max(0.0, share))))
