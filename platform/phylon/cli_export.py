"""The command `phylon export`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("place", metavar="DIR")
@click.option(
    "--candidate", metavar="ID", type=int, help="Whose network; the winner's unless told."
)
@click.option(
    "--format", "kind", type=click.Choice(["source", "torch", "onnx"]), default="source",
    show_default=True,
    help="Plain PyTorch and weights, a program of torch.export, or ONNX (pip install "
    "'phylon[onnx]').",
)  # fmt: skip
@click.option(
    "--out", metavar="FOLDER", type=click.Path(path_type=Path),
    help="Where to; a folder named after study, candidate and format, here, unless told.",
)  # fmt: skip
def export(place: str, candidate: int | None, kind: str, out: Path | None) -> None:
    """Take a trained network home, to run it without phylon.

    The folder has a script that predicts, an example, the numbers and the lineage. What it
    predicts was compared with the trained network.
    """
    from phylon.errors import ConfigurationError
    from phylon.export import export_network
    from phylon.export_formats import FORMATS
    from phylon.study import Study

    study = Study.open(place)
    if study.config.task.name.startswith("__main__:"):
        raise ConfigurationError(
            f"task: the study `{study.config.name}` was begun in a script or notebook, with a task "
            f'of its own; export it there: phylon.export.export_network(Study(...), "{kind}")'
        )
    chosen = next(each for each in FORMATS if each == kind)
    done = export_network(study, chosen, candidate, out)
    click.echo(
        f"candidate {done.candidate_id} is in {done.folder}; its outputs differ from those of the "
        f"trained network by at most {done.difference:.2g} on {done.samples} validation samples"
    )
    click.echo(f"try it: python {done.folder / 'predict.py'}")
