"""Tables of zero-cost proxies, for benches that begin searches by them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from phylon.bench_notation import Notation
from phylon.bench_table import BenchTable
from phylon.errors import ConfigurationError
from phylon.search.architecture import Architecture
from phylon.search.zero_cost import PROXIES


def read_proxies(path: Path, table: BenchTable) -> dict[Architecture, Mapping[str, float]]:
    """Return the proxies of every architecture of a table.

    The proxies' table may leave out cells with edges that bring nothing or lead nowhere, if it has
    the same cells with the zero operation on these edges.

    Args:
        path: The proxies' table: an architecture and a number for each of `PROXIES`.
        table: The table that is searched.

    Raises:
        ConfigurationError: The file is no such table, or architectures are missing in it.
    """
    known = BenchTable.read([path], table.notation.space)
    columns = [known.numbers(proxy).tolist() for proxy in PROXIES]
    scores = [dict(zip(PROXIES, values, strict=True)) for values in zip(*columns, strict=True)]
    found: dict[Architecture, Mapping[str, float]] = {}
    for architecture in table.architectures:
        row = known.rows.get(architecture)
        if row is None:
            row = known.rows.get(_without_dead_edges(architecture, table.notation))
        if row is not None:
            found[architecture] = scores[row]
    if lost := len(table.architectures) - len(found):
        example = next(each for each in table.architectures if each not in found)
        raise ConfigurationError(
            f"{path} has no proxies for {lost} of the {len(table.architectures)} architectures of "
            f"{table.name}, for example {table.notation.write(example)}; give a table of them all"
        )
    return found


def _without_dead_edges(architecture: Architecture, notation: Notation) -> Architecture:
    """Return the architecture with the zero operation on every edge that carries nothing."""
    nested = architecture.nested
    for name, cell in notation.cells.items():
        live = {f"edge_{source}_{target}" for (source, target), _ in cell.live(nested[name])}
        nested[name] = {
            edge: operation if edge in live else cell.zero
            for edge, operation in nested[name].items()
        }
    return Architecture(nested)
