"""Taking a network home: a folder that runs it without phylon, and says what it is."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from phylon.ancestry import ancestry_rows
from phylon.cluster.mirror import Mirror
from phylon.errors import ConfigurationError
from phylon.export_choice import choose
from phylon.export_formats import RECIPES, Format, check_installed
from phylon.record import Record
from phylon.search.evaluation import NetworkKeeper, SampleKeeper
from phylon.state import StudyState
from phylon.study import Study

if TYPE_CHECKING:
    from torch import nn

    from phylon.trainables.samples import Samples


class Exported(NamedTuple):
    """What was taken home.

    Attributes:
        folder: Where it is.
        candidate_id: Whose network it is.
        difference: Largest absolute difference of its outputs from those of the trained network.
        samples: On how many validation samples.
    """

    folder: Path
    candidate_id: int
    difference: float
    samples: int


def export_network(
    study: Study, kind: Format, candidate: int | None = None, out: Path | None = None
) -> Exported:
    """Write a trained network and all that is needed to run it into a new folder.

    The folder is there as a whole, or not at all.

    Args:
        study: Whose network.
        kind: `source` for plain PyTorch and weights, `torch` for a program of ``torch.export``,
            `onnx` for ONNX.
        candidate: Its id; None for the winner.
        out: The folder; by default one named after study, candidate and format, here.

    Raises:
        ConfigurationError: There is no such network, it cannot be written in this format, or the
            folder exists.
        EvaluationError: The candidate's weights are damaged, or what was exported does not do what
            the trained network does.
    """
    state = study.state()
    record = choose(study.location, state, candidate)
    folder = out or Path(f"{study.config.name}-{record.id}-{kind}")
    _check_free(folder)
    check_installed(kind)
    network, samples = _take(study, record)
    with _whole(folder) as partial:
        difference = _fill(partial, kind, network, samples, study, state, record)
    return Exported(folder, record.id, difference, len(samples.inputs))


def _check_free(folder: Path) -> None:
    if folder.exists() or folder.is_symlink():
        raise ConfigurationError(
            f"--out: {folder} exists; move it away, or name another folder: --out FOLDER"
        )
    if not folder.absolute().parent.is_dir():
        raise ConfigurationError(
            f"--out: {folder} cannot be written: {folder.parent} is no folder; make it, or name "
            f"another one: --out FOLDER"
        )


def _take(study: Study, record: Record) -> tuple[nn.Module, Samples]:
    """Return a trained network, and what to try it on."""
    evaluator = study.parts.evaluator
    if not isinstance(evaluator, NetworkKeeper):
        raise ConfigurationError(
            f"the task `{study.config.task.name}` measures candidates in its own way and gives no "
            f"networks back: give {type(evaluator).__name__} a method network(candidate, folder), "
            f"see phylon.search.evaluation.NetworkKeeper, or bring a phylon.Task"
        )
    mirror = Mirror(study.location)
    network, example = evaluator.network(record.candidate, mirror.fetch(record.candidate))
    if isinstance(evaluator, SampleKeeper):
        return network, evaluator.samples()

    from phylon.trainables.samples import Samples, inputs_of

    inputs = inputs_of(example)
    return network, Samples(inputs, inputs)


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Lend a folder that gets its name when all went well, and vanishes otherwise.

    Raises:
        ConfigurationError: It cannot be made.
    """
    partial = folder.absolute().with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.mkdir()
        yield partial
        partial.rename(folder)
    except OSError as error:
        raise ConfigurationError(
            f"--out: {folder} cannot be written: {error.strerror or error}; name another "
            f"folder: --out FOLDER"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fill(
    folder: Path,
    kind: Format,
    network: nn.Module,
    samples: Samples,
    study: Study,
    state: StudyState,
    record: Record,
) -> float:
    """Write all files, and return how far the exported network differs from the trained one."""
    import numpy as np

    from phylon import export_texts as texts
    from phylon.export_parity import check_parity

    recipe = RECIPES[kind]
    told = texts.facts(state, record)
    recipe.write(network, _example(samples), folder, f"{texts.about(told)}.")
    np.save(folder / "example.npy", samples.given[: texts.EXAMPLES].numpy())
    texts.write_json(folder / "data.json", texts.data_facts(samples))
    texts.write_json(folder / "metrics.json", told)
    texts.write_json(folder / "lineage.json", ancestry_rows(state, record.id, study.run_ids()))
    (folder / "requirements.txt").write_text("\n".join([*recipe.requirements, ""]))
    (folder / "predict.py").write_text(texts.script(recipe, samples), encoding="utf-8")
    parity = {"format": kind, **check_parity(folder, network, samples)}
    texts.write_json(folder / "parity.json", parity)
    text = texts.readme(told, record, recipe, samples, parity)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return float(parity["max_abs_difference"])


def _example(samples: Samples) -> Any:  # noqa: ANN401 - a tensor
    """Return two samples: torch would take a batch of one for the only size that there is."""
    inputs = samples.inputs
    return (
        inputs[:2] if len(inputs) > 1 else inputs.repeat(2, *[1] * (inputs.ndim - 1))
    ).contiguous()
