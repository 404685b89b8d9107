"""The command `phylon replay`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.table import Table

    from phylon.replay import Rebuilt, Replay, Replayed
    from phylon.search.objective import Objective

SAME, DIFFERENT = 0, 1


@click.command()
@click.argument("place", metavar="DIR")
@click.option("--candidate", metavar="ID", type=int, required=True, help="Which one to rebuild.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay(place: str, candidate: int, as_json: bool) -> int:
    """Rebuild a candidate, and all whose training is in its weights.

    They are trained in this process, as they were in the study, and compared with what it knows of
    them. On a CPU there is no difference, with the same versions on the same kind of machine.

    Exit codes: 0 no difference, or a GPU was used; 1 there is one.
    """
    from phylon.errors import ConfigurationError
    from phylon.replay import Replay
    from phylon.study import Study

    study = Study.open(place)
    if study.config.task.name.startswith("__main__:"):
        raise ConfigurationError(
            f"task: the study `{study.config.name}` was begun in a script or notebook, with a task "
            f"of its own; replay it there: phylon.replay.Replay(Study(...), {candidate}).run(print)"
        )
    work = Replay(study, candidate)
    count = len(work.line)
    told = f"replaying {count} candidate{'s' * (count != 1)}, which cost {work.costs} in the study"
    click.echo(told, err=True)
    done = work.run(_tell)
    if as_json:
        click.echo(json.dumps(_as_json(work, done), indent=2))
    else:
        from rich.console import Console

        objectives = study.config.objectives
        Console().print(_table(candidate, objectives, done))
        click.echo("\n".join(_words(work, done)))
    return DIFFERENT if work.device == "cpu" and not done.is_same else SAME


def _tell(step: Rebuilt) -> None:
    difference = f"differs by {step.difference:.3g}" if step.difference else "the same"
    click.echo(f"candidate {step.record.id}: {difference}", err=True)


def _table(candidate: int, objectives: Sequence[Objective], done: Replayed) -> Table:
    """Return the line that was rebuilt: what each candidate reached then, and now."""
    from phylon.leaderboard import origin, plain_table

    table = plain_table(f"Replay of candidate {candidate}")
    table.add_column("id", justify="right")
    table.add_column("made by")
    table.add_column("epochs", justify="right")
    for objective in objectives:
        for heading in (objective.metric, "replayed", "difference"):
            table.add_column(heading, justify="right")
    for step in done.steps:
        cells = [str(step.record.id), origin(step.record), str(step.record.epochs)]
        for objective in objectives:
            cells += _compared(step, objective.metric)
        table.add_row(*cells)
    return table


def _compared(step: Rebuilt, metric: str) -> tuple[str, str, str]:
    from phylon.replay import apart

    before, now = step.record.metrics[metric], step.metrics.get(metric, math.nan)
    return f"{before:.6g}", f"{now:.6g}", f"{apart(before, now):.3g}"


def _words(work: Replay, done: Replayed) -> Iterator[str]:
    """Yield the verdict, and what may be the reason of a difference."""
    yield f"largest difference of all metrics: {done.metrics:.3g}"
    if done.weights is None:
        yield "weights: not compared, the study does not keep them"
    else:
        yield f"largest difference of all weights: {done.weights:.3g}"
    if done.is_same:
        return
    if work.device == "cuda":
        yield "A GPU does not always add up in the same order."
    if work.unlike:
        yield "What is different from where they were trained:"
        yield from (f"  {each}" for each in work.unlike)
    elif work.device == "cpu":
        yield (
            "Versions and machine are those of the study's driver. Its workers may have run "
            "elsewhere, the task may have changed, or it draws from what no seed decides."
        )


def _as_json(work: Replay, done: Replayed) -> dict[str, Any]:
    steps = [
        {
            "id": step.record.id,
            "epochs": step.record.epochs,
            "recorded": _plain(step.record.metrics),
            "replayed": _plain(step.metrics),
            "difference": _number(step.difference),
        }
        for step in done.steps
    ]
    return {
        "candidate": done.steps[-1].record.id,
        "is_same": done.is_same,
        "device": work.device,
        "cost": work.costs.to_json(),
        "steps": steps,
        "metrics": _number(done.metrics),
        "weights": None if done.weights is None else _number(done.weights),
        "weights_kept": done.weights is not None,
        "unlike": work.unlike,
    }


def _plain(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in metrics.items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
