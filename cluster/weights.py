"""Published weights on their way to whoever scores or begins with them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar, final

from phylon.cluster.location import CANDIDATES, Location
from phylon.cluster.patience import patiently
from phylon.search.errors import EvaluationError, GivenBack
from phylon.search.evaluation import Weights

T = TypeVar("T")
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
class Latest(Generic[T]):
    """Keeps what belongs to the version of the weights that was asked for last.

    Args:
        fetch: Takes the id of the candidate that published a version; called once for it.
    """

    def __init__(self, fetch: Callable[[int], T]) -> None:
        self._fetch = fetch
        self._last: tuple[int, T] | None = None

    def __call__(self, candidate_id: int) -> T:
        """Return what belongs to a version; whatever `fetch` raises is passed on."""
        if self._last is None or self._last[0] != candidate_id:
            self._last = None  # before there are two
            self._last = candidate_id, self._fetch(candidate_id)
        return self._last[1]


def shelf(study: Location) -> Latest[Weights]:
    """Return what reads the weights of a study, on one node; see `read_weights`."""
    return Latest(partial(read_weights, study))


@final
class Lender:
    """Puts weights into Ray's object store, which takes each version to each node once.

    Reads every version once, and keeps the last one there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._put: Latest[Any] | None = None

    def lend(self, study: Location, candidate_id: int) -> tuple[Any] | str:
        """Return a reference to the weights, or why there are none; may be called by any thread."""
        import ray

        with self._lock:
            self._put = self._put or Latest(lambda number: ray.put(read_weights(study, number)))
            try:
                return (self._put(candidate_id),)
            except EvaluationError as error:
                return str(error)


def borrower(mailbox: Any, study: Location) -> Latest[Weights]:  # noqa: ANN401 - a Ray actor
    """Return what takes weights from the object store of the worker's node, without a copy.

    It raises `EvaluationError` if there are none, or they cannot be read, and `GivenBack` when the
    mailbox has died, and the run ends.

    Args:
        mailbox: Lends them.
        study: Where the study is kept.
    """

    def borrow(candidate_id: int) -> Weights:
        import ray
        from ray.exceptions import ObjectLostError, RayActorError

        try:
            lent = ray.get(mailbox.lend.remote(study, candidate_id))
            if isinstance(lent, str):
                raise EvaluationError(lent)
            weights: Weights = ray.get(lent[0])
        except (RayActorError, ObjectLostError) as error:
            raise GivenBack("the mailbox died") from error
        for array in weights.values():
            array.flags.writeable = False
        return weights

    return Latest(borrow)
