"""Base of every agent's configuration model: strict about names, lenient about scalars.

As LangStream's planner: unknown keys are refused, "20" is a number where one is wanted, a number is
text where text is wanted. Keys are written with dashes unless the model gives an alias.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from ..errors import ExpressionError, TemplateError


def kebab(name: str) -> str:
    """The YAML key of a field."""
    return name.replace("_", "-")


def _expression(text: str) -> str:
    from .expressions import compile_expression

    if "${" in text or "{{" in text:  # a placeholder that is not filled yet decides what it will be
        return text
    try:
        compile_expression(text)
    except ExpressionError as error:
        raise ValueError(error.message) from error
    return text


def _template(text: str) -> str:
    from .templates import compile_template

    if "${" in text:
        return text
    try:
        compile_template(text)
    except TemplateError as error:
        raise ValueError(error.message) from error
    return text


# Texts whose syntax is checked where the application is planned, not when a unit starts.
ExpressionText = Annotated[str, AfterValidator(_expression)]
TemplateText = Annotated[str, AfterValidator(_template)]


class AgentConfig(BaseModel):
    """Frozen, unknown keys forbidden; `composable` is accepted everywhere and read by the planner."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=kebab, populate_by_name=False, coerce_numbers_to_str=True
    )

    composable: bool | None = None
