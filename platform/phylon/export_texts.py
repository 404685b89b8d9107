"""What stands beside an exported network: how to run it, and what is known of it."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phylon.export_formats import Recipe
from phylon.record import Record
from phylon.state import StudyState
from phylon.trainables.words import describe

if TYPE_CHECKING:
    from phylon.trainables.samples import Samples

EXAMPLES = 8
"""Samples that are taken home to try the script with."""


def facts(state: StudyState, record: Record) -> dict[str, Any]:
    """Return what was measured of a candidate, as plain JSON data; None for NaN."""
    candidate, created = record.candidate, state.created
    tested = state.tested
    test = (
        {
            name: values[tested.candidate_ids.index(record.id)]
            for name, values in tested.metrics.items()
        }
        if tested and record.id in tested.candidate_ids
        else {}
    )
    return {
        "study": created.config["name"] if created else "",
        "study_uid": created.uid if created else "",
        "data": created.fingerprint if created else {},
        "candidate": record.id,
        "phase": candidate.phase,
        "epochs": record.epochs,
        "seed": candidate.seed,
        "objectives": [{"metric": o.metric, "direction": o.direction} for o in state.objectives],
        "violation": state.violation(record),
        "metrics": _finite(record.metrics),
        "test": _finite(test),
        "architecture": candidate.architecture.nested,
    }


def script(recipe: Recipe, samples: Samples) -> str:
    """Return a script that predicts."""
    ready = (
        (
            '    mean, scale = np.float32([DATA["mean"], DATA["scale"]])[..., None, None]',
            '    inputs = (samples.astype(DATA["dtype"]) - mean) * scale',
        )
        if samples.normalisation
        else ('    inputs = samples.astype(DATA["dtype"])',)
    )
    shown = 'DATA["classes"][row.argmax()]' if samples.classes else "row"
    lines = [
        '"""Predict with the network: python predict.py [SAMPLES.npy], by default example.npy."""',
        "",
        "import json",
        "import sys",
        "from pathlib import Path",
        "",
        "import numpy as np",
        *recipe.imports,
        "",
        "HERE = Path(__file__).parent",
        'DATA = json.loads((HERE / "data.json").read_text(encoding="utf-8"))',
        *recipe.load,
        "",
        "",
        "def predict(samples):",
        *ready,
        f"    return {recipe.run}",
        "",
        "",
        'if __name__ == "__main__":',
        '    for row in predict(np.load(sys.argv[1] if sys.argv[1:] else HERE / "example.npy")):',
        f"        print({shown})",
    ]
    return "\n".join(lines) + "\n"


def data_facts(samples: Samples) -> dict[str, Any]:
    """Return what the script has to know of samples, and what they look like."""
    known: dict[str, Any] = {
        "shape": ["batch", *samples.inputs.shape[1:]],
        "dtype": str(samples.inputs.dtype).removeprefix("torch."),
    }
    if samples.normalisation:
        known |= {key: list(value) for key, value in samples.normalisation._asdict().items()}
    return {**known, "classes": list(samples.classes)} if samples.classes else known


def readme(
    told: Mapping[str, Any],
    record: Record,
    recipe: Recipe,
    samples: Samples,
    parity: Mapping[str, Any],
) -> str:
    """Return what the folder is, in Markdown."""
    return "\n".join(
        [
            f"# {about(told)}",
            "",
            f"    {' '.join(describe(record.candidate.architecture).split())}",
            "",
            *_numbers(told),
            "",
            "## Run it",
            "",
            "```sh",
            "pip install -r requirements.txt",
            "python predict.py example.npy",
            "```",
            "",
            _needs(samples),
            "",
            f"Its outputs differ from those of the trained network by at most "
            f"{parity['max_abs_difference']:.2g} on {parity['samples']} validation samples.",
            "",
            "## Files",
            "",
            *(f"- `{name}`: {meaning}" for name, meaning in _files(recipe, samples).items()),
            "",
        ]
    )


def about(told: Mapping[str, Any]) -> str:
    """Return in a few words whose network it is."""
    return f"Candidate {told['candidate']} of the study {told['study']}"


def write_json(file: Path, data: object) -> None:
    """Write plain data for people to read."""
    file.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _numbers(told: Mapping[str, Any]) -> list[str]:
    """Return the lines of a table."""
    metrics = {**told["metrics"], **told["test"]}
    rows = [f"| {_cell(name)} | {_number(value)} |" for name, value in metrics.items()]
    infeasible = ["", "It does not meet the study's constraints."] if told["violation"] else []
    return ["| metric | value |", "|---|---|", *rows, *infeasible]


def _needs(samples: Samples) -> str:
    """Say what the script has to be given."""
    shape = ", ".join(map(str, ["batch", *samples.given.shape[1:]]))
    kind = str(samples.given.dtype).removeprefix("torch.")
    ready = (
        "as the data holds them; `predict.py` normalises them with the numbers in `data.json`"
        if samples.normalisation
        else "made ready as the study's data module makes them ready for the network"
    )
    return (
        f"Samples are an array of shape ({shape}) and type {kind}, {ready}. phylon is not needed."
    )


def _files(recipe: Recipe, samples: Samples) -> dict[str, str]:
    """Return what each file beside the README is."""
    return {
        **recipe.files,
        "predict.py": "runs it",
        "data.json": "what samples look like, and what `predict.py` does with them",
        "example.npy": f"{min(EXAMPLES, len(samples.given))} samples of the validation data",
        "metrics.json": "the numbers above, and the architecture",
        "lineage.json": "the candidates that it descends from, the first one first",
        "parity.json": "how far it differs from the trained network",
        "requirements.txt": "what it needs",
    }


def _finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _number(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.6g}"


def _cell(text: str) -> str:
    return html.escape(text).replace("|", "&#124;")
