"""How well shared weights rank networks that are also trained on their own.

    python benchmarks/ranking.py PICTURES.npz FOLDER [TRAINING ...]

On the NAS-Bench-201 space, 8 channels wide and with two cells in a stage. 30 random networks, all
different, are trained on their own for 8 epochs, three times from different seeds. Then supernets
of three seeds are trained by each of ``uniform``, ``fair`` and ``enas`` (or those named), ``fair``
for a fifth of the epochs, since each of its steps takes five paths. Each scores all networks, with
batch-norm statistics calibrated and without, by loss and by accuracy.

Told is Kendall's tau of these scores with the same metric of the trained networks, over all of them
and within the half that is better when trained: against the mean of the three trainings, and
against one training (mean over the three). Likewise, of one training with the mean of the two
others and with one other, and of multiply-accumulates. One CPU thread; the test split is not
touched. FOLDER keeps what was measured, so an interrupted run goes on, and gets the plot,
``ranking.svg``.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement, candidate_seed
from phylon.search.evaluation import Context, Published
from phylon.search.rank_correlation import rank_correlation
from phylon.search.space import SearchSpace
from phylon.trainables import ImageTask, LightningEvaluator, Training, nasbench201_space
from phylon.trainables.pictures import read_pictures
from phylon.trainables.sharing import Sharing
from phylon.trainables.supernet_evaluator import SupernetEvaluator

NETWORKS = 30
TRAININGS = (0, 1, 2)
SEEDS = (0, 1, 2)
EPOCHS = {"uniform": 30, "fair": 6, "enas": 30}
SCORES = {"calibrated": 2, "not calibrated": 0}
METRICS = {"val_loss": -1, "val_accuracy": 1}
"""What networks are scored by, with the sign that makes more better."""

Numbers: TypeAlias = NDArray[np.float64]

Scores = list[dict[str, Any]]
"""What each network was scored, by metric."""


def main() -> None:
    pictures, folder, *trainings = sys.argv[1:]
    store = Path(folder)
    store.mkdir(parents=True, exist_ok=True)
    space = nasbench201_space(cells=2, channels=8)
    trained = LightningEvaluator(
        ImageTask(read_pictures(pictures), space), Training(epochs=8, batch_size=64)
    )
    networks = draw(space, NETWORKS)
    alone = [
        [
            once(store / f"alone-{t}-{i}.json", lambda t=t, i=i: train(trained, t, i, networks[i]))
            for i in range(NETWORKS)
        ]
        for t in TRAININGS
    ]
    cost = statistics.fmean(each["seconds"] for row in alone for each in row)
    print(f"a network trained on its own: {cost:.1f} s (mean of {NETWORKS * len(TRAININGS)})")
    describe_rivals(alone)
    found: dict[str, list[Scores]] = {}
    for training in trainings or EPOCHS:
        for seed in SEEDS:
            result = once(
                store / f"{training}-{seed}.json",
                lambda t=training, s=seed: share(trained, space, t, s, networks),
            )
            for kind in SCORES:
                found.setdefault(f"{training}, {kind}", []).append(result[kind])
            print(f"{training}, seed {seed}: trained in {result['seconds'] / cost:.1f} trainings, "
                  f"scored {cost / result['per score']:.0f} times cheaper")  # fmt: skip
    for name, rows in found.items():
        for metric in METRICS:
            scores = np.array([column(row, metric) for row in rows])
            truths = np.array([column(row, metric) for row in alone])
            print(describe(f"{name}, by {metric}", scores, truths))
    plot(store / "ranking.svg", found, alone)


def describe_rivals(alone: list[Scores]) -> None:
    """Print how well other trainings and multiply-accumulates rank the networks."""
    counts = np.array([[each["macs"] for each in alone[0]]])
    for metric in METRICS:
        truths = np.array([column(row, metric) for row in alone])
        print(describe(f"another training, by {metric}", truths, truths, is_own=True))
        print(describe(f"multiply-accumulates, by {metric}", counts, truths))


def column(row: Scores, metric: str) -> list[float]:
    """Return a metric of all networks; more is better."""
    return [METRICS[metric] * each[metric] for each in row]


def describe(name: str, scores: Numbers, truths: Numbers, *, is_own: bool = False) -> str:
    """Return a row: tau of each row of scores, and their mean.

    Against the mean of the truths over all networks, and in the better half; then against one.

    Args:
        name: Of the row.
        scores: Of the networks, more is better; a row for each supernet.
        truths: The same of the trained networks; a row for each training.
        is_own: Whether the scores are the truths, each of which is compared with the others.
    """
    taus = []
    for number, row in enumerate(scores):
        others = np.delete(truths, number, axis=0) if is_own else truths
        singly = np.mean([agreement(row, each) for each in others], axis=0)
        taus.append([*agreement(row, others.mean(axis=0)), *singly])
    cells = [name]
    for values in zip(*taus, strict=True):
        words = ", ".join(f"{value:.2f}" for value in values)
        cells.append(f"{statistics.fmean(values):.2f} ({words})")
    return f"| {' | '.join(cells)} |"


def agreement(scores: Numbers, truth: Numbers) -> tuple[float, float]:
    """Return Kendall's tau over all networks, and within the half that is better in truth."""
    found = rank_correlation((-scores).tolist(), (-truth).tolist())
    return found.kendall_tau or 0.0, found.top_half or 0.0


def draw(space: SearchSpace, count: int) -> list[Architecture]:
    """Return the first random networks that are all different."""
    rng = np.random.default_rng(0)
    found: dict[str, Architecture] = {}
    while len(found) < count:
        architecture = space.sample(rng)
        found.setdefault(space.key(architecture), architecture)
    return list(found.values())


def train(
    evaluator: LightningEvaluator, training: int, index: int, architecture: Architecture
) -> dict[str, Any]:
    candidate = Candidate(index, architecture, seed=candidate_seed(training, index))
    with tempfile.TemporaryDirectory() as folder:
        return timed(lambda context: evaluator.evaluate(candidate, context), Path(folder))


def share(
    trained: LightningEvaluator,
    space: SearchSpace,
    training: Any,  # noqa: ANN401 - a name of Sharing's
    seed: int,
    networks: list[Architecture],
) -> dict[str, Any]:
    """Train a supernet, and score all networks by it."""
    from safetensors.numpy import load_file

    epochs = EPOCHS[training]
    supernet = Candidate(0, Architecture({}), phase="supernet", seed=candidate_seed(seed, 0))
    with tempfile.TemporaryDirectory() as folder:
        evaluator = SupernetEvaluator(trained, space, Sharing(training, epochs))
        result = timed(lambda context: evaluator.evaluate(supernet, context), Path(folder, "0"))
        weights = load_file(Path(folder, "0", "weights.safetensors"))
        for name, calibration in SCORES.items():
            scorer = SupernetEvaluator(trained, space, Sharing(training, epochs, calibration))
            begin = time.process_time()
            result[name] = [
                score(scorer, Path(folder), number, architecture, weights)
                for number, architecture in enumerate(networks, start=1)
            ]
            if calibration:
                result["per score"] = (time.process_time() - begin) / len(networks)
    return result


def score(
    evaluator: SupernetEvaluator,
    folder: Path,
    number: int,
    architecture: Architecture,
    weights: dict[str, Any],
) -> dict[str, float]:
    candidate = Candidate(number, architecture, epochs=0, inherit_from=0)
    measured: list[Measurement] = []
    evaluator.evaluate(
        candidate,
        Context(folder / str(number), measured.append, weights=lambda _: Published(weights)),
    )
    return {name: measured[-1].metrics[name] for name in METRICS}


def timed(evaluate: Callable[[Context], None], folder: Path) -> dict[str, Any]:
    """Return the last metrics, and the seconds of processor time."""
    begin = time.process_time()
    measured: list[Measurement] = []
    evaluate(Context(folder, measured.append))
    return {**measured[-1].metrics, "seconds": time.process_time() - begin}


def once(file: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what the file holds, or else measure it and keep it there."""
    if not file.exists():
        result = measure()
        file.write_text(json.dumps(result))
    kept: dict[str, Any] = json.loads(file.read_text())
    return kept


def plot(file: Path, found: dict[str, list[Scores]], alone: list[Scores]) -> None:
    """Draw the rank of each network by its mean score over its rank when trained."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt
    from scipy.stats import rankdata

    def ranks(rows: list[Scores]) -> Numbers:
        return np.asarray(rankdata(np.mean([column(row, "val_loss") for row in rows], axis=0)))

    names = [name for name in found if not name.endswith("not calibrated")]
    figure, axes = plt.subplots(1, len(names), figsize=(4 * len(names), 3.6), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        axis.scatter(ranks(alone), ranks(found[name]), s=18)
        axis.set(title=name.split(",")[0], xlabel="trained on its own")
    axes[0][0].set_ylabel("with shared weights")
    figure.suptitle(f"ranks of {NETWORKS} networks by validation loss; {NETWORKS} is best")
    figure.tight_layout()
    figure.savefig(file)


if __name__ == "__main__":
    main()
