"""The command `phylon report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from phylon.cluster.location import Location
    from phylon.history import History


@click.command()
@click.argument("place", metavar="DIR")
@click.option(
    "--out", metavar="FILE",
    help="Where to write it; in the study's folder, or here if it is in an object store, unless "
    "told.",
)  # fmt: skip
def report(place: str, out: str | None) -> None:
    """Write a study's report: one HTML file to read, and to pass on.

    It can be made at any time, also while the study runs. An earlier report of the same study is
    replaced, any other file is not.
    """
    from phylon.cluster.location import Location
    from phylon.history import read_history

    location = Location(place).resolved()
    history = read_history(location)
    target = Location(out) if out else _usual_place(location)
    _check(target, history)

    from phylon.report import build_report

    _write(target, build_report(history).encode())
    click.echo(target.local.as_uri() if target.local else str(target))


def _usual_place(location: Location) -> Location:
    from phylon.cluster.location import Location

    if location.local is None:
        return Location(f"{location.name}-report.html")
    return location / "report.html"


def _check(target: Location, history: History) -> None:
    """Refuse to write over anything but an earlier report of the study."""
    from phylon.errors import ConfigurationError
    from phylon.report import is_report_of

    if not target.exists():
        return
    try:
        content = target.read()
    except OSError as error:
        raise ConfigurationError(
            f"--out: {target} is not a file that can be read: {error.strerror or error}; name a "
            f"file: --out FILE.html"
        ) from None
    if not is_report_of(history.created.uid, content):
        raise ConfigurationError(
            f"--out: {target} exists and is no report of this study; move it away, or name another "
            f"file: --out FILE.html"
        )


def _write(target: Location, content: bytes) -> None:
    from phylon.errors import ConfigurationError

    try:
        target.write(content)
    except OSError as error:
        raise ConfigurationError(
            f"--out: {target} cannot be written: {error.strerror or error}; name another file: "
            f"--out FILE.html"
        ) from None
