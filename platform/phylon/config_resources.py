"""The `resources` section of the study file: what one candidate holds while it trains."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from phylon.config_values import Count, Section

_SMALLEST_SHARE = 0.001  # of a CPU or GPU; Ray counts in ten-thousandths

CpuShare = Annotated[float, Field(strict=True, ge=_SMALLEST_SHARE, allow_inf_nan=False)]


class Resources(Section):
    """What one candidate holds while it trains; the machine is shared out accordingly."""

    cpus: CpuShare = Field(default=1.0, description="CPU cores, fractions allowed")
    gpus: float | Literal["auto"] = Field(
        default=0.0,
        description="GPUs: 0, a fraction 1/k, a whole number, or auto: by predicted memory",
    )
    memory: float | Literal["auto"] | None = Field(
        default=None,
        description="GiB of its node's memory; auto: as predicted; null: not planned",
    )
    slots: Count | None = Field(
        default=None, description="at most so many candidates at once; null: as many as fit"
    )

    @field_validator("gpus", mode="plain")
    @classmethod
    def _legal_gpus(cls, value: object) -> float | str:
        if value == "auto":
            return "auto"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"is {value!r}; allowed: 0, 1/k, a whole number, or auto")
        return legal_gpus(value)

    @field_validator("memory", mode="plain")
    @classmethod
    def _legal_memory(cls, value: object) -> float | str | None:
        if value is None:
            return None
        if value == "auto":
            return "auto"
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf:
            return float(value)
        raise ValueError(f"is {value!r}; allowed: a number of GiB above 0, auto, or null")

    @model_validator(mode="after")
    def _one_plan(self) -> Resources:
        if self.memory == "auto" and self.gpus != 0:
            raise ValueError(
                f"plan memory: auto together with gpus: {self.gpus}, but of a candidate with a GPU "
                f"the GPU's memory is measured; give the node's memory in GiB, or null"
            )
        return self


def legal_gpus(value: float) -> float:
    """Return a share of GPUs exactly: 1/3 for 0.33.

    Raises:
        ValueError: It is neither 0, a fraction 1/k, nor a whole number.
    """
    if math.isfinite(value) and value >= 0 and value == round(value):
        return float(value)
    if _SMALLEST_SHARE <= value < 1:
        share = 1 / round(1 / value)
        if value == share or _is_rounded(value, share):
            return share
    raise ValueError(
        f"is {value:g}, which no GPU can be shared by evenly; allowed: 0, 1/k, or a whole number; "
        f"nearest {_nearest_gpus(value)}"
    )


def _is_rounded(value: float, share: float) -> bool:
    """Whether `value` is `share` rounded or cut to its own decimals, two at least."""
    decimals = len(repr(value).partition(".")[2])
    cut = math.floor(share * 10**decimals) / 10**decimals
    return decimals >= 2 and value in (round(share, decimals), cut)


def _nearest_gpus(value: float) -> str:
    if not math.isfinite(value) or value < 0:
        return "0"
    if value > 1:
        return f"{math.floor(value)} and {math.ceil(value)}"
    if value < _SMALLEST_SHARE:
        return f"0 and {_SMALLEST_SHARE:g}"
    parts = math.floor(1 / value)
    upper = f"{1 / parts:.4g} (1/{parts})" if parts > 1 else "1"
    return f"{1 / (parts + 1):.4g} (1/{parts + 1}) and {upper}"
