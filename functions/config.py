"""Base of every agent's configuration model: strict about names, lenient about scalars.

As LangStream's planner: unknown keys are refused, "20" is a number where one is wanted, a number is
text where text is wanted. Keys are written with dashes unless the model gives an alias.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


def kebab(name: str) -> str:
    """The YAML key of a field."""
    return name.replace("_", "-")


class AgentConfig(BaseModel):
    """Frozen, unknown keys forbidden; `composable` is accepted everywhere and read by the planner."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=kebab, populate_by_name=False, coerce_numbers_to_str=True
    )

    composable: bool | None = None
