"""Published weights on their way to whoever scores or begins with them."""

from __future__ import annotations

import threading
from typing import Any, final

from phylon.cluster.location import CANDIDATES, Location
from phylon.cluster.patience import patiently
from phylon.search.errors import EvaluationError, GivenBack
from phylon.search.evaluation import Weights

FILE = "weights.safetensors"


def read_weights(study: Location, candidate_id: int) -> Weights:
    """Return the weights that a candidate published.

    Raises:
        EvaluationError: There are none, or they cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    file = study / CANDIDATES / candidate_id / FILE
    restore = "put the file back, or begin the study again under another name"
    try:
        weights = load(patiently(file.read, file))
    except FileNotFoundError:
        raise EvaluationError(
            f"`{file}` does not exist, so there are no weights of candidate {candidate_id} to go "
            f"by; {restore}"
        ) from None
    except (OSError, SafetensorError) as error:
        raise EvaluationError(f"`{file}` cannot be read ({error}); {restore}") from error
    except KeyError as error:
        raise EvaluationError(
            f"`{file}` holds numbers of type {error.args[0]}, which NumPy does not have; let the "
            f"network keep its parameters as float32, and use precision for its arithmetic only"
        ) from error
    for array in weights.values():
        array.flags.writeable = False
    return weights


@final
class Shelf:
    """Weights on one node: each version is read once, the last one is kept.

    Args:
        study: Where the study is kept.
    """

    def __init__(self, study: Location) -> None:
        self._study = study
        self._last: tuple[int, Weights] | None = None

    def __call__(self, candidate_id: int) -> Weights:
        """Return the weights that a candidate published.

        Raises:
            EvaluationError: There are none, or they cannot be read.
        """
        if self._last is None or self._last[0] != candidate_id:
            self._last = None  # before there are two
            self._last = candidate_id, read_weights(self._study, candidate_id)
        return self._last[1]


@final
class Lender:
    """Puts weights into Ray's object store, which takes each version to each node once.

    Reads every version once, and keeps the last one there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: tuple[int, Any] | None = None

    def lend(self, study: Location, candidate_id: int) -> tuple[Any] | str:
        """Return a reference to the weights, or why there are none; may be called by any thread."""
        import ray

        with self._lock:
            if self._last is None or self._last[0] != candidate_id:
                self._last = None
                try:
                    weights = read_weights(study, candidate_id)
                except EvaluationError as error:
                    return str(error)
                self._last = candidate_id, ray.put(weights)
            return (self._last[1],)


@final
class Borrower:
    """Weights from the object store of the worker's node, without a copy.

    Args:
        mailbox: Lends them.
        study: Where the study is kept.
    """

    def __init__(self, mailbox: Any, study: Location) -> None:  # noqa: ANN401 - a Ray actor
        self._mailbox = mailbox
        self._study = study
        self._last: tuple[int, Weights] | None = None

    def __call__(self, candidate_id: int) -> Weights:
        """Return the weights that a candidate published; those of the last call are kept.

        Raises:
            EvaluationError: There are none, or they cannot be read.
            GivenBack: The mailbox has died, and the run ends.
        """
        if self._last is None or self._last[0] != candidate_id:
            self._last = None
            self._last = candidate_id, self._borrow(candidate_id)
        return self._last[1]

    def _borrow(self, candidate_id: int) -> Weights:
        import ray
        from ray.exceptions import ObjectLostError, RayActorError

        try:
            lent = ray.get(self._mailbox.lend.remote(self._study, candidate_id))
            if isinstance(lent, str):
                raise EvaluationError(lent)
            weights: Weights = ray.get(lent[0])
        except (RayActorError, ObjectLostError) as error:
            raise GivenBack("the mailbox died") from error
        for array in weights.values():
            array.flags.writeable = False
        return weights
