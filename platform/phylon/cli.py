"""The command line. Each command imports what it needs, so that help costs nothing."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from phylon.cli_bench import bench
from phylon.cli_bring_up import cluster
from phylon.cli_cluster import logs, status, stop, submit
from phylon.cli_compare import compare
from phylon.cli_export import export
from phylon.cli_replay import replay
from phylon.cli_report import report
from phylon.cli_sync import sync
from phylon.streams import forgiving_output

if TYPE_CHECKING:
    from phylon.state import StudyState
    from phylon.study import Study

FINISHED, WRONG_USAGE, FAILED, INTERRUPTED = 0, 2, 3, 130

_STUDY = click.argument("place", metavar="DIR")
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@dataclass
class _Settings:
    debug: bool = False


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="phylon")
@click.pass_obj
def cli(settings: _Settings, debug: bool) -> None:
    """Search for a neural network's architecture, and see how it came about.

    Begin with `phylon init`, which writes a study file to edit; `phylon run` it; an interrupted
    study goes on with `phylon resume`.

    Exit codes: 0 finished, 2 wrong usage or configuration, 3 study failed, 130 interrupted with
    everything saved.
    """
    settings.debug = debug


@cli.command()
@click.argument("study_file", metavar="STUDY.yaml", type=click.Path(path_type=Path))
@click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True,
    help="Replace a value of the file, e.g. budget.candidates=40 or objectives.0.metric=val_loss.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the study if it has already begun.")
def run(study_file: Path, overrides: tuple[str, ...], resume: bool) -> int:
    """Run the study that a file describes."""
    from phylon.config_file import read_study_file
    from phylon.errors import ConfigurationError

    file = read_study_file(study_file, overrides)

    from phylon.study import Study
    from phylon.submission import versions_inside_a_job

    if versions := versions_inside_a_job():
        click.echo(versions, err=True)
    try:
        return _run(Study.from_config(file.config), resume=resume)
    except ConfigurationError as error:
        raise file.located(error) from error


@cli.command("resume")
@_STUDY
def resume_study(place: str) -> int:
    """Go on with a study that was interrupted, by whatever.

    DIR is the study's folder, or a URI such as s3://BUCKET/STUDIES/NAME.
    """
    from phylon.study import Study

    return _run(Study.open(place), resume=True)


@cli.command()
@_STUDY
@_AS_JSON
def show(place: str, as_json: bool) -> None:
    """Show how far a study is, and its best candidates."""
    from phylon.study import Study

    study = Study.open(place)
    state = study.state()
    if as_json:
        from phylon.summary import summarize

        _print_json(summarize(state, study.location, study.status(state)))
    else:
        _show(study, state)


@cli.command()
@_STUDY
@_AS_JSON
@click.option(
    "--export", metavar="FILE.parquet", type=click.Path(path_type=Path, dir_okay=False),
    help="Write the table to a Parquet file.",
)  # fmt: skip
@click.option(
    "--ancestry", metavar="ID", type=int,
    help="Tell where this candidate comes from: its line of descent, with the gain of each step.",
)  # fmt: skip
def lineage(place: str, as_json: bool, export: Path | None, ancestry: int | None) -> None:
    """Tell who descends from whom."""
    from phylon.ancestry import ancestry_rows, ancestry_table
    from phylon.lineage import lineage_rows, write_parquet
    from phylon.study import Study

    study = Study.open(place)
    state, run_ids = study.state(), study.run_ids()
    if export:
        write_parquet(state, run_ids, export)
        click.echo(f"wrote {len(state.records)} candidates to {export}", err=True)
    if as_json:
        _print_json(
            lineage_rows(state, run_ids)
            if ancestry is None
            else ancestry_rows(state, ancestry, run_ids)
        )
    elif ancestry is not None or not export:
        from rich.console import Console

        from phylon.leaderboard import family_table

        table = family_table(state) if ancestry is None else ancestry_table(state, ancestry)
        Console().print(table)


@cli.command("list")
@click.argument("root", default="studies")
def list_studies(root: str) -> None:
    """List the studies in a storage folder.

    ROOT is `studies` unless given; it may be a URI.
    """
    from rich.console import Console

    from phylon.cluster.location import Location
    from phylon.summary import studies_table

    Console().print(studies_table(Location(root)))


@cli.command()
@click.argument("place", metavar="[DIR]", default="studies")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The first free one from 5000 unless told."
)
def ui(place: str, port: int | None) -> None:
    """Start the MLflow UI on a study or a storage folder.

    DIR is `studies` unless given.
    """
    from phylon.cluster.location import Location
    from phylon.ui import serve_ui

    serve_ui(Location(place), port)


@cli.command()
@click.argument("file", default="study.yaml", type=click.Path(path_type=Path))
def init(file: Path) -> None:
    """Write a commented study file to start from."""
    from importlib.resources import files

    from phylon.errors import ConfigurationError

    template = files("phylon").joinpath("template.yaml").read_text(encoding="utf-8")
    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(template)
    except FileExistsError:
        raise ConfigurationError(f"{file} exists; name another file: phylon init FILE") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from None
    click.echo(f"wrote {file}; edit it, then: phylon run {file}")


for command in (
    bench, report, compare, export, replay, sync, submit, status, logs, stop, cluster,
):  # fmt: skip
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code, the same whether or not anybody reads on."""
    with forgiving_output():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    settings = _Settings()
    try:
        code = cli.main(arguments, prog_name="phylon", standalone_mode=False, obj=settings)
    except click.ClickException as error:
        error.show()
        return WRONG_USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; what has begun goes on with `phylon resume DIR`", err=True)
        return INTERRUPTED
    except Exception as error:
        if settings.debug:
            raise
        return _complain(error)
    return code if isinstance(code, int) else FINISHED


def _complain(error: Exception) -> int:
    from phylon.errors import ConfigurationError, PhylonError, SpaceError, StudyError

    if isinstance(error, PhylonError):
        for line in str(error).splitlines():
            click.echo(f"error: {line}", err=True)
        is_usage = isinstance(error, ConfigurationError | SpaceError | StudyError)
        return WRONG_USAGE if is_usage else FAILED
    kind = type(error).__name__
    click.echo(f"error: unexpected {kind}: {error} (`phylon --debug ...` shows where)", err=True)
    return FAILED


def _run(study: Study, *, resume: bool) -> int:
    from phylon.events import Interrupted

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    state = study.run(resume=resume)
    _show(study, state)
    if isinstance(state.ending, Interrupted):
        click.echo(f"{state.ending.reason}; everything is saved", err=True)
        return INTERRUPTED
    if not state.completed:
        click.echo("error: the study failed: no candidate completed, see above why", err=True)
        return FAILED
    return FINISHED


def _show(study: Study, state: StudyState) -> None:
    from rich.console import Console

    from phylon.leaderboard import overview

    Console().print(overview(state, study.location, study.status(state)))


def _print_json(data: object) -> None:
    click.echo(json.dumps(data, indent=2))
