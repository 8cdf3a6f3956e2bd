"""Lists of `{name, expression}` in an agent's configuration.

Used by the agents that build something from a record: an event, a log line, a request. All
expressions are evaluated before any result is stored, so that they cannot see one another.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from .config import ExpressionText
from .context import TransformContext, write_field
from .expressions import Expression, Scope, compile_expression
from .expressions.values import Value


class FieldConfig(BaseModel):
    """A name, and the expression that gives its value."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    name: str
    expression: ExpressionText


class Fields:
    """The compiled list, in its order. Raises ExpressionError if one is no expression."""

    def __init__(self, fields: Sequence[FieldConfig]) -> None:
        self._fields: list[tuple[str, Expression]] = [
            (field.name, compile_expression(field.expression)) for field in fields
        ]

    def __bool__(self) -> bool:
        return bool(self._fields)

    def evaluate(self, scope: Scope) -> list[tuple[str, Value]]:
        return [(name, expression.evaluate(scope)) for name, expression in self._fields]

    def write(self, context: TransformContext) -> None:
        """Store the values in a record; the names are field addresses."""
        for name, value in self.evaluate(context.scope()):
            write_field(context, name, value)
