"""The command `phylon bench`."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from phylon.bench_results import Results
    from phylon.bench_setup import Request

_FILE = click.Path(path_type=Path)


@click.command()
@click.option(
    "--table",
    "tables",
    metavar="FILE.parquet",
    type=_FILE,
    multiple=True,
    required=True,
    help="What was measured, one architecture in each row; given again, its columns are joined.",
)
@click.option(
    "--strategy",
    "strategies",
    metavar="NAME[,KEY=VALUE...]",
    multiple=True,
    required=True,
    help="A strategy, with parameters of its own; given again, it is compared with the first.",
)
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="A parameter for every strategy.",
)
@click.option(
    "--objective",
    "objectives",
    metavar="COLUMN[:min]",
    multiple=True,
    required=True,
    help="The column to maximise, or minimise; several are searched for together.",
)
@click.option(
    "--report",
    metavar="COLUMN",
    help="The column to report of the best found; the first objective unless told.",
)
@click.option(
    "--budget",
    metavar="N",
    type=float,
    required=True,
    help="Evaluations of each study; with --time-column, simulated seconds.",
)
@click.option(
    "--seeds",
    metavar="S",
    type=int,
    required=True,
    help="Studies of each strategy, with seeds from 0.",
)
@click.option(
    "--time-column", metavar="COLUMN", help="Seconds of each evaluation, to charge instead of 1."
)
@click.option(
    "--workers",
    metavar="W",
    type=int,
    default=1,
    show_default=True,
    help="Simulate so many evaluations at a time, with results late and out of order.",
)
@click.option(
    "--reference",
    "references",
    metavar="COLUMN=VALUE",
    multiple=True,
    help="With several objectives, the worst that counts; the 99th percentile unless told.",
)
@click.option("--space", metavar="NAME", help="The search space, if the table does not tell it.")
@click.option(
    "--proxies",
    metavar="FILE.parquet",
    type=_FILE,
    help="Zero-cost proxies of the architectures, for strategies with initial=zero_cost.",
)
@click.option(
    "--distinct",
    is_flag=True,
    help="Tell apart architectures that are the same network: what was measured differs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--out", metavar="DIR", type=_FILE, help="Write all trajectories and a plot to a folder."
)  # fmt: skip
def bench(as_json: bool, out: Path | None, **options: Any) -> int:  # noqa: ANN401 - for Request
    """Measure strategies on a table of measured architectures.

    Every strategy searches the table S times, as a study would, but looks results up instead of
    training; all cores are used.
    """
    from phylon.bench_setup import Request
    from phylon.cli import FINISHED, INTERRUPTED

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        results = _run(Request(**options), out)
    except KeyboardInterrupt:
        click.echo("interrupted; nothing was written", err=True)
        return INTERRUPTED
    _print(results, as_json)
    return FINISHED


def _run(request: Request, out: Path | None) -> Results:
    from phylon.bench_files import make_folder, write_files
    from phylon.bench_results import evaluate
    from phylon.bench_run import run_studies
    from phylon.bench_setup import prepare

    bench = prepare(request)
    if out:
        make_folder(out)
    studies = [(each, seed) for each in bench.contestants for seed in range(bench.seeds)]
    with _progress(len(studies)) as on_end:
        trajectories = run_studies(bench.problem, studies, on_end=on_end)
    results = evaluate(bench, trajectories)
    if out:
        write_files(results, out)
    return results


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal, and yield what moves it on by one study."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("studies", total=total)
        yield lambda: progress.advance(bar)


def _print(results: Results, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(results.to_json(), indent=2))
        return
    from rich.console import Console

    from phylon.bench_report import overview

    Console().print(overview(results))
