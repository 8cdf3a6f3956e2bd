"""Base of the configuration models of resources and assets.

As agents' (`functions/config.py`): unknown keys are refused, "20" is a number where one is wanted.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ...functions.config import kebab


class Settings(BaseModel):
    """Frozen; keys are written with dashes unless the field gives an alias."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=kebab, populate_by_name=False, coerce_numbers_to_str=True
    )
