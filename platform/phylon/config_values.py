"""What the sections of the study file are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Count = Annotated[int, Field(strict=True, gt=0)]
Seed = Annotated[int, Field(strict=True, ge=0)]
Amount = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True, min_length=1)]
Folder = Annotated[Text, BeforeValidator(lambda it: str(it) if isinstance(it, Path) else it)]


class Section(BaseModel):
    """A part of the study file: immutable, and without keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
