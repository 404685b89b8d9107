"""The command `phylon sync`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from phylon.sync import Sent


@click.command()
@click.argument("place", metavar="DIR")
@click.option(
    "--tracking", metavar="URI",
    help="The MLflow server or database; where the study keeps its runs unless told.",
)  # fmt: skip
def sync(place: str, tracking: str | None) -> int:
    """Send a study to an MLflow server, or what is missing there.

    The study may be running or finished, and need not have been tracked. Everything gets there
    once, however often this is called.
    """
    from phylon.cli import FINISHED, INTERRUPTED
    from phylon.sync import synchronize

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _progress() as on_progress:
            sent = synchronize(place, tracking, on_progress)
    except KeyboardInterrupt:
        click.echo("interrupted; the same command sends the rest", err=True)
        return INTERRUPTED
    _tell(place, sent)
    return FINISHED


def _tell(place: str, sent: Sent) -> None:
    there = f"{sent.candidates} candidates are in {sent.uri}"
    if not sent.events and not sent.extras:
        click.echo(f"nothing was missing: {there}")
        return
    beside = f" and {', '.join(sent.extras)}" if sent.extras else ""
    click.echo(f"sent {sent.events} events{beside}: {there}")
    click.echo(f"`phylon ui {place}` shows them", err=True)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, and yield what moves it."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("events")
        yield lambda there, missing: progress.update(bar, completed=there, total=there + missing)
