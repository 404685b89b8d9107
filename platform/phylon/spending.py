"""What the search of a study has spent of its budget, in epochs and on GPUs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Spending:
    """Epochs and GPU time of the search, kept up to date candidate by candidate.

    An open candidate has spent the epochs that it was asked to train, so that a search ends with at
    most one candidate too many; at its end those that it did train count, one at least, or a task
    that always fails would be tried forever.

    Attributes:
        epochs: Of all candidates that were asked.
        gpu_seconds: Of all that ended, and of open ones as far as it is known.
    """

    epochs: int = 0
    gpu_seconds: float = 0.0
    _asked: dict[int, int] = field(default_factory=dict)
    _measured: dict[int, float] = field(default_factory=dict)

    def ask(self, number: int, epochs: int) -> None:
        """Take note that a candidate is to train for so many epochs."""
        self._asked[number] = epochs
        self.epochs += epochs

    def measure(self, number: int, gpu_seconds: float) -> None:
        """Take note of so many more seconds on GPUs of an open candidate, times their number."""
        if number in self._asked:
            self._measured[number] = self._measured.get(number, 0.0) + gpu_seconds
            self.gpu_seconds += gpu_seconds

    def end(self, number: int, epochs: int, gpu_seconds: float) -> None:
        """Take note of what a candidate did spend, in all; one that was not asked does not count.

        Args:
            number: Which one.
            epochs: Those that it trained.
            gpu_seconds: Wall-clock seconds of its last attempt, times the GPUs that it held. What
                was measured in all attempts counts if it is more.
        """
        if (asked := self._asked.pop(number, None)) is None:
            return
        self.epochs += (max(epochs, 1) if asked else 0) - asked
        self.gpu_seconds += max(gpu_seconds - self._measured.pop(number, 0.0), 0.0)
