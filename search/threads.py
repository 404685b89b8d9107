"""Keeping linear algebra to one thread, where a search shares its machine with what it trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


@contextmanager
def one_thread() -> Iterator[None]:
    """Run NumPy's and SciPy's linear algebra in this thread alone.

    On small matrices more threads cost time; and sums come out the same on every machine.
    """
    with _controller().limit(limits=1):
        yield


@lru_cache
def _controller() -> Any:  # noqa: ANN401 - threadpoolctl has no types
    import scipy.linalg  # noqa: F401 - what is not loaded yet is not found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
