"""The study file's section on where the runs are kept."""

from __future__ import annotations

import re
import warnings

from pydantic import Field, field_validator

from phylon.config_values import Section, Text

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,249}")
_DATABASE_URI = re.compile(
    r"(https?|databricks|(sqlite|postgresql|mysql|mssql)(\+\w+)?)://.+|databricks"
)

# Every model class has a method of that name, from its metaclass; instances do not.
warnings.filterwarnings("ignore", 'Field name "register" in "Tracking" shadows', UserWarning)


class Tracking(Section):
    """Where MLflow keeps the runs."""

    uri: str | None = Field(
        default=None,
        description="null: sqlite in the storage folder; none: no tracking; or an MLflow URI",
    )
    register: Text | None = Field(
        default=None, description="registered model that the best networks are versions of"
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

    @field_validator("register")
    @classmethod
    def _legal_name(cls, value: str | None) -> str | None:
        if value is None or _MODEL_NAME.fullmatch(value):
            return value
        raise ValueError(
            f"is {value!r}, which cannot be a registered model's name; use up to 250 letters, "
            f"digits, spaces, `.`, `_` and `-`, beginning with a letter or digit"
        )
