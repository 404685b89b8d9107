"""Lowering the learning rates of an optimizer and its schedule in the middle of a training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch.optim import Optimizer

OF_GROUPS = ("lr", "initial_lr", "max_lr", "min_lr")
OF_SCHEDULES = ("base_lrs", "max_lrs", "min_lrs", "eta_min", "_last_lr")


def scale_rates(optimizers: Iterable[Optimizer], schedules: Iterable[Any], factor: float) -> None:
    """Multiply all rates that torch's optimizers and schedules remember, also within others."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            _scale(group, OF_GROUPS, factor)
    for schedule in schedules:
        _scale(vars(schedule), OF_SCHEDULES, factor)
        scale_rates((), getattr(schedule, "_schedulers", ()), factor)


def _scale(kept: dict[str, Any], names: Iterable[str], factor: float) -> None:
    for name in names:
        value = kept.get(name)
        if isinstance(value, list):
            kept[name] = [each * factor for each in value]
        elif value is not None:
            kept[name] = value * factor
