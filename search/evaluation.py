"""How a candidate is measured: the contract between whoever measures and whoever runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement
from phylon.search.errors import EvaluationError

WEIGHTS_FILE = "weights.safetensors"
"""What a candidate's folder holds at its end; a last measurement that names it publishes it."""

OPTIMIZER_FILE = "optimizer.safetensors"
"""What its optimizer kept, beside the weights, where others may begin with these."""

METADATA = "phylon"
"""The key under which the file of the weights tells, as JSON, what they are."""

INHERITED_SHARE = "inherited_share"
"""The metric of candidates that inherit: the share of parameters that came from the parent."""

Weights: TypeAlias = Mapping[str, NDArray[np.generic]]
"""Parameters and buffers of a network by name; read-only, as all workers of a node share them."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a candidate leaves to those that begin with its weights.

    Attributes:
        arrays: The weights.
        about: What their file tells of them: ``architecture``, the nested form of what they belong
            to, and how it was trained; empty if it was written by anybody else.
        optimizer: What the optimizer kept of each parameter, such as momenta, by names
            ``KIND:PARAMETER``; empty if that was not kept.
    """

    arrays: Weights
    about: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Weights = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(each.nbytes for each in (*self.arrays.values(), *self.optimizer.values()))


def _never() -> bool:
    return False


def _nothing() -> None:
    """Publish nothing."""


def _no_weights(candidate_id: int) -> Published:
    raise EvaluationError(f"the weights of candidate {candidate_id} are not to be had here")


@dataclass(frozen=True, slots=True)
class Team:
    """The workers that evaluate one candidate together: mostly one alone.

    Attributes:
        rank: Which of them this one is, from 0; what the others report is not heard.
        size: How many they are.
        trainer: Arguments that make a Lightning trainer work with the others.
    """

    rank: int = 0
    size: int = 1
    trainer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What a worker lends to an evaluation.

    Attributes:
        folder: The candidate's own folder, for checkpoints and weights. It may hold those of an
            earlier, interrupted attempt at the same candidate. The folder of a candidate that this
            one continues stands beside it, under its id, if it is still kept. All that is in it
            when a measurement names a checkpoint, or at the end, reaches the study's storage.
        report: Takes each measurement as it is made.
        threads: CPU threads that the evaluation may use.
        device: ``cpu`` or ``cuda``.
        leaving: Tells whether the worker has to go soon, because its machine is taken away. An
            evaluation that looks at it can write a checkpoint then and raise `GivenBack`: another
            worker goes on from there.
        weights: Takes the id of a candidate and returns what it published. Raises
            `EvaluationError` if that is gone or damaged.
        team: Who evaluates the candidate together with this worker.
        publish: To be called when the weights are whole in the folder and others will begin with
            them: those on a cluster are then spared the way over the storage.
    """

    folder: Path
    report: Callable[[Measurement], None]
    threads: int = 1
    device: str = "cpu"
    leaving: Callable[[], bool] = _never
    weights: Callable[[int], Published] = _no_weights
    team: Team = field(default_factory=Team)
    publish: Callable[[], None] = _nothing


@runtime_checkable
class Evaluator(Protocol):
    """Measures candidates. Pickled once to each worker and used there for many candidates.

    An exception fails the candidate, not the study. The metrics of the last measurement are
    the candidate's result.

    A candidate that `continues` another one is that one, trained for more epochs: its measurements
    begin with those of the other. Whether it takes up the other's training or begins anew is up to
    the evaluator; one that has no epochs may ignore both.
    """

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that every measurement holds; objectives choose among them."""

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        """Measure a candidate, handing each measurement to `context.report`."""


@runtime_checkable
class Tester(Protocol):
    """An evaluator that holds back a test split, for the winner only."""

    def test(self, candidate: Candidate, context: Context) -> dict[str, float]:
        """Return test metrics of a trained candidate from the weights in `context.folder`."""


@runtime_checkable
class Fingerprinted(Protocol):
    """An evaluator that can say which data it measures on."""

    def fingerprint(self) -> dict[str, Any]:
        """Return name, digest and sizes of the data, as plain JSON."""


@runtime_checkable
class NetworkKeeper(Protocol):
    """An evaluator whose candidates are networks that can be taken home."""

    def network(self, candidate: Candidate, folder: Path) -> tuple[Any, Any]:
        """Return the trained ``torch.nn.Module`` from its folder, and an example of its input."""


@runtime_checkable
class SampleKeeper(Protocol):
    """An evaluator that can show what its networks are given."""

    def samples(self) -> Any:  # noqa: ANN401 - of `trainables`, which is not imported from here
        """Return the first validation batch as `phylon.trainables.samples.Samples`."""


@runtime_checkable
class MemoryForeseer(Protocol):
    """An evaluator that knows roughly how much memory a candidate will need."""

    def memory(self, candidate: Candidate) -> int:
        """Return the bytes that it allocates at most, without what every worker holds anyway.

        Called in the driver, once for a candidate; it should take milliseconds and must not raise.
        What is wrong by a factor or a constant is corrected by what candidates turn out to need.
        """


@runtime_checkable
class Adviser(Protocol):
    """An evaluator that learns, while it trains shared weights, which architectures to try."""

    def advice(self, supernet: Candidate, folder: Path) -> Sequence[Architecture]:
        """Return what to try first, from the folder of a trained supernet."""
