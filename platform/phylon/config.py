"""The study file as frozen, checked data. Read from disk by `phylon.config_file`."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from phylon.config_errors import messages
from phylon.errors import ConfigurationError
from phylon.search.constraint import Constraint
from phylon.search.objective import Objective

_SMALLEST_SHARE = 0.001  # of a CPU or GPU; Ray counts in ten-thousandths

Count = Annotated[int, Field(strict=True, gt=0)]
Seed = Annotated[int, Field(strict=True, ge=0)]
Amount = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=_SMALLEST_SHARE, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True, min_length=1)]
Folder = Annotated[Text, BeforeValidator(lambda it: str(it) if isinstance(it, Path) else it)]

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DATABASE_URI = re.compile(
    r"(https?|databricks|(sqlite|postgresql|mysql|mssql)(\+\w+)?)://.+|databricks"
)


def _explicit_direction(value: object) -> object:
    if isinstance(value, dict) and "metric" in value and "direction" not in value:
        raise ValueError("needs a direction; add `direction: maximize` or `direction: minimize`")
    return value


class Section(BaseModel):
    """A part of the study file: immutable, and without keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Component(BaseModel):
    """Something chosen by name, with parameters of its own: `{name: random}`, or just `random`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Text = Field(description="a built-in name, or your own as package.module:object")

    @model_validator(mode="before")
    @classmethod
    def _from_bare_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    @property
    def params(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


class Budget(Section):
    """How much to search."""

    candidates: Count = Field(description="how many networks the search tries")
    hours: Amount | None = Field(default=None, description="stop the search after so many hours")


class Training(Section):
    """How each candidate is trained."""

    epochs: Count = Field(default=5, description="passes over the training data")
    batch_size: Count = Field(default=64, description="pictures per gradient step")
    checkpoint_every: Count | None = Field(
        default=None, description="epochs between checkpoints; null: as often as ten seconds go by"
    )


class Final(Section):
    """Train the best candidates again, longer, before the winner is tested."""

    epochs: Count = Field(description="epochs of the longer training")
    top: Count = Field(default=3, description="how many of the best candidates")
    seeds: Count = Field(default=3, description="how often each, from other random weights")


class Initial(Section):
    """How the first candidates are chosen, before the strategy has anything to go by."""

    name: Literal["random", "zero_cost"] = Field(
        description="random, or zero_cost: half of them by the scores of untrained networks"
    )
    samples: Count = Field(default=2000, description="zero_cost: how many networks are scored")

    @model_validator(mode="before")
    @classmethod
    def _from_bare_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value


class Resources(Section):
    """What one candidate holds while it trains; the machine is shared out accordingly."""

    cpus: Share = Field(default=1.0, description="CPU cores, fractions allowed")
    gpus: float = Field(
        default=0.0, strict=True, description="GPUs: 0, a fraction 1/k, or a whole number"
    )

    @field_validator("gpus")
    @classmethod
    def _legal_gpus(cls, value: float) -> float:
        return legal_gpus(value)


class Tracking(Section):
    """Where MLflow keeps the runs."""

    uri: str | None = Field(
        default=None,
        description="null: sqlite in the storage folder; none: no tracking; or an MLflow URI",
    )

    @field_validator("uri")
    @classmethod
    def _not_a_folder(cls, value: str | None) -> str | None:
        if value is None or value == "none" or _DATABASE_URI.fullmatch(value):
            return value
        raise ValueError(
            f"is {value!r}, which is not an MLflow server or database; allowed: null (sqlite in "
            f"the storage folder), none, http(s)://HOST:PORT, sqlite:///FILE, postgresql://..."
        )


class StudyConfig(Section):
    """All that a study is: what is searched, how it is measured, and how long.

    Make one from Python with `StudyConfig.build`, from a file with
    `phylon.config_file.load_config`.
    """

    name: str = Field(strict=True, description="the study lives in the folder <storage>/<name>")
    task: Component = Field(description="what is learned: digits, images, or package.module:object")
    space: Component | None = Field(
        default=None, description="the networks to choose from; null: the task's own space"
    )
    strategy: Component = Field(
        default=Component(name="surrogate"),
        description="how the next candidate is chosen",
    )
    initial: Initial = Field(
        default=Initial(name="random"), description="how the first candidates are chosen"
    )
    warm_start: tuple[Folder, ...] = Field(
        default=(), description="folders of earlier studies to learn from"
    )
    objectives: tuple[Annotated[Objective, BeforeValidator(_explicit_direction)], ...] = Field(
        min_length=1, description="metrics to maximize or minimize, the most important first"
    )
    constraints: tuple[Constraint, ...] = Field(
        default=(), description="bounds that metrics must keep to; what misses one ranks last"
    )
    budget: Budget = Field(description="how much to search")
    training: Training = Field(default=Training(), description="how each candidate is trained")
    final: Final | None = Field(default=None, description="longer training of the best; null: none")
    resources: Resources = Field(default=Resources(), description="what one candidate holds")
    seed: Seed = Field(default=0, description="the same seed proposes the same candidates")
    order: Literal["free", "strict"] = Field(
        default="free",
        description="strict: the same results in the same order on any number of workers",
    )
    window: Count = Field(
        default=8,
        description="strict order only: candidates proposed ahead of the oldest open result",
    )
    storage: Folder = Field(default="studies", description="the folder that holds all studies")
    tracking: Tracking = Field(default=Tracking(), description="where MLflow keeps the runs")

    @field_validator("name")
    @classmethod
    def _safe_folder_name(cls, value: str) -> str:
        if not _SAFE_NAME.fullmatch(value):
            raise ValueError(
                f"is {value!r}, which cannot be a folder's name; use up to 100 letters, digits, "
                f"`.`, `_` and `-`, beginning with a letter or digit"
            )
        return value

    @field_validator("storage")
    @classmethod
    def _folder_on_this_machine(cls, value: str) -> str:
        if re.match(r"\w+://", value):
            raise ValueError(
                f"is {value!r}, but a study lives in a folder; mount it, and name the folder"
            )
        return value

    @field_validator("objectives")
    @classmethod
    def _distinct_metrics(cls, value: tuple[Objective, ...]) -> tuple[Objective, ...]:
        metrics = [objective.metric for objective in value]
        twice = next((m for m in metrics if metrics.count(m) > 1), None)
        if twice is not None:
            raise ValueError(f"name the metric `{twice}` twice; leave one of them out")
        return value

    @classmethod
    def build(cls, **fields: Any) -> StudyConfig:  # noqa: ANN401 - checked by pydantic
        """Return the configuration made of these fields, nested ones as plain mappings.

        Raises:
            ConfigurationError: A field is missing, unknown or has a value that is not allowed;
                one line for each.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            lines = [text for _, text in messages(cls, error)]
            raise ConfigurationError("\n".join(lines)) from None

    @property
    def folder(self) -> Path:
        """Where the study lives."""
        return Path(self.storage) / self.name

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data from which `from_json` makes an equal configuration."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> StudyConfig:
        """Undo `to_json`."""
        return cls.build(**data)


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
