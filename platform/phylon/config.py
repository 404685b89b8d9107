"""The study file as frozen, checked data. Read from disk by `phylon.config_file`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from phylon.cluster.location import Location
from phylon.config_errors import messages
from phylon.config_resources import Resources
from phylon.config_supernet import ENAS, Supernet, with_implied
from phylon.config_tracking import Tracking
from phylon.config_values import Amount, Count, Folder, Section, Seed, Text
from phylon.errors import ConfigurationError
from phylon.search.constraint import Constraint
from phylon.search.objective import Objective

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def _explicit_direction(value: object) -> object:
    if isinstance(value, dict) and "metric" in value and "direction" not in value:
        raise ValueError("needs a direction; add `direction: maximize` or `direction: minimize`")
    return value


def _strategy(info: ValidationInfo) -> str:
    """Return the name of the strategy, if that could be understood."""
    strategy = info.data.get("strategy")
    return strategy.name if isinstance(strategy, Component) else ""


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
    """How much to search: until the first of these limits, of which there is at least one."""

    candidates: Count | None = Field(default=None, description="how many networks to try")
    epochs: Count | None = Field(default=None, description="how many epochs to train, in all")
    hours: Amount | None = Field(default=None, description="how many hours to search")
    gpu_hours: Amount | None = Field(default=None, description="how many hours of one GPU to spend")

    @model_validator(mode="after")
    def _has_an_end(self) -> Budget:
        if not self.model_dump(exclude_none=True):
            raise ValueError(
                "names no limit, so the search would never end; give at least one of "
                f"{', '.join(type(self).model_fields)}"
            )
        return self


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
    weights: Literal["fresh", "extracted", "both"] = Field(
        default="fresh",
        description="begin with random weights, those of the supernet, or train each twice",
    )


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
    evaluator: Literal["training", "supernet"] = Field(
        default="training",
        description="training: each on its own; supernet: scored with weights that all share",
    )
    supernet: Supernet = Field(
        default=Supernet(), description="the shared weights, with evaluator: supernet"
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
    storage: Folder = Field(
        default="studies", description="what holds all studies: a folder, or s3://..., gs://..."
    )
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
    def _known_scheme(cls, value: str) -> str:
        Location(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _implied_by_enas(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file says
        return with_implied(value) if isinstance(value, dict) else value

    @field_validator("evaluator")
    @classmethod
    def _scores_for_enas(cls, value: str, info: ValidationInfo) -> str:
        if value != "supernet" and _strategy(info) == ENAS:
            raise ValueError(
                f"is {value}, but strategy `{ENAS}` scores candidates with shared weights; say "
                f"`evaluator: supernet`, or choose another strategy"
            )
        return value

    @field_validator("supernet")
    @classmethod
    def _used(cls, value: Supernet, info: ValidationInfo) -> Supernet:
        if value != Supernet() and info.data.get("evaluator") == "training":
            raise ValueError(
                "sets up shared weights that nothing would use; add `evaluator: supernet`, or "
                "drop the section"
            )
        if value.training != "enas" and _strategy(info) == ENAS:
            raise ValueError(
                f"has training: {value.training}, but strategy `{ENAS}` learns what to try while "
                f"it trains the weights; say `training: {ENAS}`, or choose another strategy"
            )
        return value

    @field_validator("final")
    @classmethod
    def _has_weights(cls, value: Final | None, info: ValidationInfo) -> Final | None:
        if value and value.weights != "fresh" and info.data.get("evaluator") == "training":
            raise ValueError(
                f"has weights: {value.weights}, but without `evaluator: supernet` there are no "
                f"shared weights to begin with; add that, or drop `weights`"
            )
        return value

    @field_validator("initial", "warm_start")
    @classmethod
    def _not_instead_of_advice(cls, value: object, info: ValidationInfo) -> object:
        if value and value != Initial(name="random") and _strategy(info) == ENAS:
            raise ValueError(
                f"says how to begin, but strategy `{ENAS}` begins with what its controller learned "
                f"while it trained the weights; drop it, or choose another strategy"
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
    def location(self) -> Location:
        """Where the study lives."""
        return Location(self.storage) / self.name

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data from which `from_json` makes an equal configuration."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> StudyConfig:
        """Undo `to_json`."""
        return cls.build(**data)
