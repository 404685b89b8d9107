"""Which channels of a parent the channels of its child stand for."""

from __future__ import annotations

from typing import TypeAlias, final

import torch
from torch import Tensor

from phylon.trainables.kinship import Channels

Index: TypeAlias = Tensor | slice
"""For each channel of the child, which one of the parent it stands for."""

ALL = slice(None)
"""Every channel stands for itself."""

LEAST = 0.25
"""The least weight of a copy before those of a channel are made to sum to 1; the greatest is 1."""


@final
class ChannelMaps:
    """Draws which channels of a child are which of its parent: once for each pair of groups.

    A narrower child has the parent's first channels. A wider one has all, and copies of some that
    are drawn at random (Net2WiderNet, Chen et al. 2016, https://arxiv.org/abs/1511.05641).

    Args:
        seed: Of all that is drawn.
    """

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._drawn: dict[tuple[str, int, str, int], Index] = {}

    def index(self, child: Channels, parent: Channels) -> Index:
        """Return the parent's channel for each of the child's; parts are those of the same name."""
        ours, theirs = child.parts or ("",), parent.parts or ("",)
        if set(ours) != set(theirs):
            return self._within(child.group, child.total, parent.group, parent.total)
        within = self._within(child.group, child.width, parent.group, parent.width)
        if len(ours) == 1 or (ours == theirs and within is ALL):
            return within
        numbers = numbered(within, parent.width)
        return torch.cat([theirs.index(part) * parent.width + numbers for part in ours])

    def split(self, index: Index, rows: int, width: int) -> Tensor | None:
        """Return what to multiply weights on copied channels with; None where nothing was copied.

        For each row, the factors of the copies of a channel sum to 1. They are uneven, and others
        in each row: with the same in all, the gradients of two copies were equal up to a factor,
        which Adam does not see, so that both would stay the same channel.

        Args:
            index: The channels, from `index`.
            rows: Channels that are made of these.
            width: How many of them the parent has.

        Returns:
            Factors of shape ``(rows, channels of the child)``.
        """
        if isinstance(index, slice) or len(index) <= width:
            return None
        drawn = LEAST + (1 - LEAST) * torch.rand(rows, len(index), generator=self._generator)
        sums = torch.zeros(rows, width).index_add_(1, index, drawn)
        return drawn / sums[:, index]

    def _within(self, child: str, width: int, parent: str, known: int) -> Index:
        pair = child, width, parent, known
        if pair not in self._drawn:
            self._drawn[pair] = self._draw(width, known)
        return self._drawn[pair]

    def _draw(self, width: int, known: int) -> Index:
        if width <= known:
            return ALL if width == known else slice(width)
        rounds = [torch.randperm(known, generator=self._generator) for _ in range(width // known)]
        return torch.cat([torch.arange(known), *rounds])[:width]


def numbered(index: Index, width: int) -> Tensor:
    """Return an index of so many channels as numbers."""
    return index if isinstance(index, Tensor) else torch.arange(width)[index]
