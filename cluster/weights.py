"""Published weights on their way to whoever scores or begins with them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from json import JSONDecodeError
from typing import Any, Generic, TypeVar, final
from weakref import WeakValueDictionary

from phylon.cluster.location import CANDIDATES, Location
from phylon.cluster.patience import patiently
from phylon.search.errors import EvaluationError, GivenBack
from phylon.search.evaluation import (
    METADATA,
    OPTIMIZER_FILE,
    WEIGHTS_FILE,
    Published,
    Weights,
)

T = TypeVar("T")
RESTORE = "put the file back, or begin the study again under another name"

ROOM_BYTES = 1 << 30
"""How much the object stores of a cluster hold of a study's weights, at most."""

log = logging.getLogger(__name__)


def read_weights(study: Location, candidate_id: int) -> Published:
    """Return what a candidate published.

    Raises:
        EvaluationError: There is nothing, or it cannot be read.
    """
    folder = study / CANDIDATES / candidate_id
    try:
        arrays, metadata = _read(folder / WEIGHTS_FILE)
        about = json.loads(metadata.pop(METADATA, "{}"))
    except FileNotFoundError:
        raise EvaluationError(
            f"`{folder / WEIGHTS_FILE}` does not exist, so there are no weights of candidate "
            f"{candidate_id} to go by; {RESTORE}"
        ) from None
    except JSONDecodeError as error:
        raise EvaluationError(
            f"`{folder / WEIGHTS_FILE}` cannot be read ({error}); {RESTORE}"
        ) from error
    tied = {name: arrays[kept] for name, kept in metadata.items() if kept in arrays}
    try:
        optimizer, _ = _read(folder / OPTIMIZER_FILE)
    except FileNotFoundError:
        optimizer = {}
    return Published({**arrays, **tied}, about, optimizer)


def _read(file: Location) -> tuple[Weights, dict[str, str]]:
    """Return the arrays and the metadata of a file.

    Raises:
        FileNotFoundError: There is none.
        EvaluationError: It cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        data = patiently(file.read, file)
        weights = load(data)
    except FileNotFoundError:
        raise
    except (OSError, SafetensorError) as error:
        raise EvaluationError(f"`{file}` cannot be read ({error}); {RESTORE}") from error
    except KeyError as error:
        raise EvaluationError(
            f"`{file}` holds numbers of type {error.args[0]}, which NumPy does not have; let the "
            f"network keep its parameters as float32, and use precision for its arithmetic only"
        ) from error
    for array in weights.values():
        array.flags.writeable = False
    # A file begins with the length of its header, which is JSON; `load` does not tell all of it.
    end = 8 + int.from_bytes(data[:8], "little")
    return weights, json.loads(data[8:end]).get("__metadata__", {})


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


def shelf(study: Location) -> Latest[Published]:
    """Return what reads the weights of a study, on one node; see `read_weights`."""
    return Latest(partial(read_weights, study))


@final
class Lender:
    """Knows which weights are in Ray's object store, and has those put there that are not.

    They come from the workers that trained them, else from the storage, where each is read once for
    all who ask. When they are too many those go that were not asked for longest, but not the last.
    Lives in the mailbox, in its event loop.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[int, tuple[Any, int]] = OrderedDict()
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def lend(self, study: Location, candidate_id: int, lost: str) -> tuple[Any] | str:
        """Return a reference to what a candidate published, or why there is none.

        Args:
            study: Where it is read if it is not held.
            candidate_id: The candidate.
            lost: The reference, as text, that led to nothing when it was lent before.
        """
        async with self._locks.setdefault(candidate_id, asyncio.Lock()):
            if candidate_id in self._held and self._held[candidate_id][0].hex() == lost:
                del self._held[candidate_id]
            if candidate_id not in self._held:
                try:
                    reference, nbytes = await asyncio.to_thread(_put, study, candidate_id)
                except EvaluationError as error:
                    return str(error)
                self.hold(candidate_id, reference, nbytes)
        self._held.move_to_end(candidate_id)
        return (self._held[candidate_id][0],)

    def hold(self, candidate_id: int, reference: Any, nbytes: int) -> None:  # noqa: ANN401
        """Take a reference to what a candidate published, so that it stays where it is."""
        self._held[candidate_id] = reference, nbytes
        self._held.move_to_end(candidate_id)
        while len(self._held) > 1 and sum(size for _, size in self._held.values()) > ROOM_BYTES:
            self._held.popitem(last=False)


def _put(study: Location, candidate_id: int) -> tuple[Any, int]:
    """Put what a candidate published into the object store; return the reference, and bytes."""
    import ray

    published = read_weights(study, candidate_id)
    return ray.put(published), published.nbytes


def publisher(mailbox: Any, study: Location) -> Callable[[int], None]:  # noqa: ANN401 - Ray actor
    """Return what puts the weights of a candidate of this worker into the object store.

    Who begins with them gets them from there as long as this worker lives, else from the storage;
    so it does not matter if that fails.

    Args:
        mailbox: Lends them.
        study: The study's folder on this machine.
    """

    def publish(candidate_id: int) -> None:
        from ray.exceptions import RayError

        try:
            reference, nbytes = _put(study, candidate_id)
            mailbox.offer.remote(candidate_id, [reference], nbytes)
        except (EvaluationError, RayError) as error:
            log.warning("the weights of candidate %d are not passed on: %s", candidate_id, error)

    return publish


def borrower(mailbox: Any, study: Location) -> Latest[Published]:  # noqa: ANN401 - a Ray actor
    """Return what takes weights from the object store of the worker's node, without a copy.

    If the worker that held them is gone, by itself or with its node, or there is no room for them,
    they come from the storage. It raises `EvaluationError` if there are none, or they cannot be
    read, and `GivenBack` when the mailbox has died, and the run ends.

    Args:
        mailbox: Lends them.
        study: Where the study is kept.
    """

    def lent(candidate_id: int, lost: str = "") -> Any:  # noqa: ANN401 - a reference
        import ray

        found = ray.get(mailbox.lend.remote(study, candidate_id, lost))
        if isinstance(found, str):
            raise EvaluationError(found)
        return found[0]

    def borrow(candidate_id: int) -> Published:
        import ray
        from ray.exceptions import (
            ObjectLostError,
            ObjectStoreFullError,
            OutOfDiskError,
            RayActorError,
        )

        try:
            reference = lent(candidate_id)
            try:
                published: Published = ray.get(reference)
            except ObjectLostError:
                published = ray.get(lent(candidate_id, lost=reference.hex()))
        except (ObjectStoreFullError, OutOfDiskError):
            return read_weights(study, candidate_id)
        except (RayActorError, ObjectLostError) as error:
            raise GivenBack("the mailbox died") from error
        for array in (*published.arrays.values(), *published.optimizer.values()):
            array.flags.writeable = False
        return published

    return Latest(borrow)
