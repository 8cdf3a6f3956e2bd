"""`compute`: sets fields, keys, values and headers to the values of expressions.

The groups run in a fixed order: the whole key and value, then fields of the key, fields of the
value, the message's own headers, `properties`. Within a group of fields all expressions are
evaluated before any result is stored; a later group sees what earlier ones stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from ....errors import ConfigurationError, RecordError
from ....record import Record
from ...api import Context, Declaration, Example
from ...config import ExpressionText
from ...context import Part, TransformContext, schema_type_of, write_field
from ...expressions import TARGETS, Expression, compile_expression
from ...expressions.values import (
    NANOS_PER_MILLI,
    Byte,
    Instant,
    LocalDate,
    LocalDateTime,
    LocalTime,
    Long,
    Short,
    SqlTime,
    Timestamp,
    UtilDate,
    Value,
    kind_of,
)
from ...transforms import Transform, TransformConfig

MILLIS_PER_DAY = 86_400_000

# What the types mean for a field, where the name differs from the conversion's.
_TARGETS = {**{name: name for name in TARGETS}, "DATE": "LOCAL_DATE", "DATETIME": "INSTANT"}
_WHOLE = ("key", "value")
_HEADERS = ("destinationTopic", "messageKey")
_MEMBER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_UNTYPED = {
    "string", "bytes", "boolean", "byte", "short", "int", "long", "float", "double", "decimal", "list", "map",
    "date", "time", "timestamp", "instant", "local_date", "local_time", "local_date_time",
}  # fmt: skip


class ComputeFieldConfig(BaseModel):
    """One field. `optional` matters for Avro only and is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    name: str
    expression: ExpressionText
    type: str | None = None
    optional: bool = False


class ComputeConfig(TransformConfig):
    fields: tuple[ComputeFieldConfig, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """`part` is key, value, properties or a header's name; `member` what follows the dot."""

    name: str
    part: str
    member: str | None
    expression: Expression
    target: str | None

    def evaluate(self, context: TransformContext) -> Value:
        scope = context.scope()
        if self.target is not None:
            return self.expression.evaluate_as(scope, self.target)
        return self.expression.evaluate(scope)


def computed_field(config: ComputeFieldConfig) -> Field:
    """Raises ConfigurationError or ExpressionError."""
    part, dot, member = config.name.partition(".")
    known = part in (*_WHOLE, "properties") if dot else part in (*_WHOLE, *_HEADERS)
    if not known:
        raise ConfigurationError(
            f"compute: '{config.name}' is no field of a record",
            hint="use value, key, value.NAME, key.NAME, properties.NAME, destinationTopic or messageKey",
        )
    target = _target(config, whole=not dot and part in _WHOLE)
    if part not in _WHOLE:
        target = "STRING"
    expression = compile_expression(config.expression, filters_see="message")
    return Field(config.name, part, member if dot else None, expression, target)


def _target(config: ComputeFieldConfig, *, whole: bool) -> str | None:
    if config.type is None:
        return None
    if config.type not in _TARGETS or (whole and config.type == "DATE"):
        there = ", ".join(sorted(_TARGETS))
        hint = "leave the type out for lists and maps" if config.type in ("ARRAY", "MAP") else None
        raise ConfigurationError(
            f"compute: the field '{config.name}' cannot have the type '{config.type}'; there are: {there}",
            hint=hint,
        )
    return _TARGETS[config.type]


def _fields(config: ComputeConfig) -> list[Field]:
    names = [field.name for field in config.fields]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ConfigurationError(f"compute: several fields have the name '{min(repeated)}'")
    return [computed_field(field) for field in config.fields]


# --- the step --------------------------------------------------------------------------------------


def create(config: ComputeConfig, context: Context) -> Transform:
    fields = _fields(config)
    whole = [field for part in _WHOLE for field in fields if field.part == part and field.member is None]
    members = [(part, _members_of(fields, part)) for part in _WHOLE]
    headers = [field for name in (*_HEADERS, "properties") for field in fields if field.part == name]

    def compute(record: TransformContext) -> None:
        for field in whole:
            _replace(record, field)
        for part, group in members:
            if group:
                _set_members(record, record.key if part == "key" else record.value, group)
        for field in headers:
            _set_header(record, field)

    return Transform(config, compute)


def _members_of(fields: list[Field], part: str) -> list[Field]:
    return [field for field in fields if field.part == part and field.member is not None]


def _replace(record: TransformContext, field: Field) -> None:
    """Only for simple types: a map stays as it is, and so does an absent key."""
    part = record.key if field.part == "key" else record.value
    if part.schema_type == "MAP" or (part.schema_type is None and field.part == "key"):
        return
    if part.schema_type is None:
        raise RecordError("compute: a null value cannot be replaced")
    value = field.evaluate(record)
    if value is None and field.target is None:
        raise RecordError(
            f"compute: '{field.expression.text}' gave null; give '{field.name}' a type to allow it"
        )
    if isinstance(value, dict | list):
        raise RecordError(
            f"compute: '{field.name}' cannot be a {kind_of(value)}; use fn:toJson or type STRING"
        )
    setattr(record, field.part, Part(value, schema_type_of(value)))
    record.changed()


def _set_members(record: TransformContext, part: Part, fields: list[Field]) -> None:
    members = part.writable()
    if members is None:
        return
    results = [(_member_name(field), _stored(field, field.evaluate(record))) for field in fields]
    members.update(results)


def _member_name(field: Field) -> str:
    name = field.member or ""
    if not _MEMBER_NAME.match(name):
        raise RecordError(f"compute: '{field.name}' cannot be set: a name has letters, digits and '_' only")
    return name


_STORED: dict[type, Callable[[Any], Value]] = {
    Byte: int,
    Short: int,
    LocalDate: lambda value: value.epoch_day,
    LocalTime: lambda value: value.nano_of_day // NANOS_PER_MILLI,
    SqlTime: lambda value: value.millis % MILLIS_PER_DAY,
    UtilDate: lambda value: Long(value.millis),
    Instant: lambda value: Long(value.nanos // NANOS_PER_MILLI),
    Timestamp: lambda value: Long(value.nanos // NANOS_PER_MILLI),
    LocalDateTime: lambda value: Long(value.nanos // NANOS_PER_MILLI),
}


def _stored(field: Field, value: Value) -> Value:
    """The form in which a field holds a value: dates and times as numbers."""
    if value is None:
        if field.target is None or field.target == "DECIMAL":
            raise RecordError(
                f"compute: '{field.expression.text}' gave null, which '{field.name}' cannot hold"
            )
        return None
    if field.target is None and kind_of(value) not in _UNTYPED:
        raise RecordError(
            f"compute: '{field.name}' cannot hold a value of kind {kind_of(value)}; give it a type"
        )
    store = _STORED.get(type(value))
    return value if store is None else store(value)


def _set_header(record: TransformContext, field: Field) -> None:
    value = field.evaluate(record)
    write_field(record, field.name, value)
    if field.part == "messageKey":
        record.message_key = value
    elif field.part == "destinationTopic":
        record.destination = value


AGENT = Declaration(
    type="compute",
    kind="processor",
    summary="Sets fields, the key, the value or headers to the results of expressions.",
    config=ComputeConfig,
    handler=create,
    example=Example(
        configuration={"fields": [{"name": "value.total", "expression": "value.price * value.count"}]},
        record=Record('{"price":1.5,"count":4}', "k"),
        results=[Record('{"price":1.5,"count":4,"total":6.0}', "k")],
    ),
)
