"""The `supernet` section of the study file: weights that candidates share, and trust in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from phylon.config_resources import CpuShare, legal_gpus
from phylon.config_values import Count, Section

Tau = Annotated[float, Field(strict=True, ge=-1.0, le=1.0)]
NotNegative = Annotated[int, Field(strict=True, ge=0)]
ENAS = "enas"
"""The strategy that comes with shared weights, and with a training of them."""


class Portion(Section):
    """What one worker holds."""

    cpus: CpuShare = Field(default=1.0, description="CPU cores, fractions allowed")
    gpus: float = Field(default=0.0, description="GPUs: 0, a fraction 1/k, or a whole number")

    @field_validator("gpus", mode="plain")
    @classmethod
    def _legal_gpus(cls, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"is {value!r}; allowed: 0, 1/k, or a whole number")
        return legal_gpus(value)


class Supernet(Section):
    """Weights that all candidates share: how they are trained, used, and checked."""

    training: Literal["uniform", "fair", "enas"] = Field(
        default="uniform",
        description="which paths are trained: at random, all operations equally, or a controller's",
    )
    epochs: Count = Field(default=40, description="passes over the training data")
    workers: Count = Field(default=1, description="workers that train it together")
    resources: Portion = Field(default=Portion(), description="what each of them holds")
    scoring: Portion = Field(
        default=Portion(cpus=0.5), description="what a worker that scores candidates holds"
    )
    calibration: NotNegative = Field(
        default=2,
        description="training batches for a candidate's batch-norm statistics; 0: not calibrated",
    )
    probes: NotNegative = Field(
        default=8, description="random networks trained on their own, to check the scores by"
    )
    rank_floor: Tau | None = Field(
        default=None, description="least rank correlation (Kendall's tau) to trust; null: any"
    )
    on_low_rank: Literal["warn", "switch", "stop"] = Field(
        default="warn", description="below the floor: say so, train candidates instead, or end"
    )

    @model_validator(mode="after")
    def _floor_with_probes(self) -> Supernet:
        if self.on_low_rank != "warn" and self.rank_floor is None:
            raise ValueError(
                f"sets on_low_rank: {self.on_low_rank} without a floor; add a rank_floor, such as "
                f"0.3, or drop on_low_rank"
            )
        if self.rank_floor is not None and self.probes < 4:
            raise ValueError(
                f"sets rank_floor: {self.rank_floor} with probes: {self.probes}, but it takes at "
                f"least 4 probes to tell how well scores rank; raise probes or drop rank_floor"
            )
        return self


def with_implied(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a study file with what strategy `enas` implies where nothing is said."""
    told, strategy = dict(fields), fields.get("strategy")
    name = strategy.get("name") if isinstance(strategy, Mapping) else strategy
    if name == ENAS:
        told.setdefault("evaluator", "supernet")
        for section, implied in (("supernet", {"training": ENAS}), ("final", {"weights": "both"})):
            given = told.get(section, {} if section == "supernet" else None)
            if isinstance(given, Mapping):
                told[section] = {**implied, **given}
    return told
