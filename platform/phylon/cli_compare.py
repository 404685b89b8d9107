"""The command `phylon compare`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("places", metavar="DIR DIR...", nargs=-1)
@click.option(
    "--out", metavar="FILE.html", type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page with tables and curves.",
)  # fmt: skip
@click.option(
    "--target", metavar="VALUE", type=float,
    help="Tell the cost to reach this value; unless told, what the worst group reaches.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(places: tuple[str, ...], out: Path | None, target: float | None, as_json: bool) -> None:
    """Show studies side by side.

    Each DIR is a study's folder, or its URI. Studies that differ only in their seed are one group;
    groups are compared with that of the first DIR.
    """
    from phylon.compare_results import compare as compared

    comparison = compared(places, target)
    if out:
        from phylon.compare_page import write_page

        write_page(comparison, out)
        click.echo(f"wrote {out}", err=True)
    if as_json:
        from phylon.compare_json import to_json

        click.echo(json.dumps(to_json(comparison), indent=2))
    else:
        from rich.console import Console

        from phylon.compare_tables import overview

        Console().print(overview(comparison))
