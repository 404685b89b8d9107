"""Turns Ctrl-C and SIGTERM into an orderly stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_received: list[str] = []


def stop_requested() -> bool:
    """Return whether a signal came that is to stop what this process does at the moment."""
    return bool(_received)


@contextmanager
def calling_on_signal(stop: Callable[[str], None]) -> Iterator[None]:
    """Call `stop` with the signal's name at the first SIGINT or SIGTERM; the second one interrupts.

    Outside the main thread, where Python takes no signals, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_first(number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.default_int_handler)
        _received.append(signal.Signals(number).name)
        stop(_received[-1])

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, on_first) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _received.clear()
