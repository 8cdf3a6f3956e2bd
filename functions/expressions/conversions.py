"""The typed conversion table of `compute.type`, `cast` and the `fn:to…` functions.

`convert(value, target)` is the only entry; targets are the upper-case names of the agents'
configuration. Null stays null for every target. What has no row raises ConversionError, which the
callers present with their own place (an expression's column, an agent's field).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from .javatext import to_text
from .numeric import (
    ConversionError,
    from_bytes,
    to_decimal,
    to_double,
    to_float,
    to_int8,
    to_int16,
    to_int32,
    to_int64,
)
from .temporal import (
    to_instant,
    to_local_date,
    to_local_date_time,
    to_local_time,
    to_time,
    to_timestamp,
    to_util_date,
)
from .values import (
    NANOS_PER_DAY,
    NANOS_PER_MILLI,
    NANOS_PER_SECOND,
    Instant,
    LocalDate,
    LocalDateTime,
    LocalTime,
    SqlTime,
    Timestamp,
    UtilDate,
    Value,
    kind_of,
)


def to_boolean(value: Value) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.lower() == "true"
    if isinstance(value, bytes):
        return bool(from_bytes(value, ">b", "BOOLEAN"))
    raise ConversionError(value, "BOOLEAN", "only true, false, text and one byte can")


_BYTE_FORMS: dict[str, str] = {
    "boolean": ">?",
    "byte": ">b",
    "short": ">h",
    "int": ">i",
    "long": ">q",
    "float": ">f",
    "double": ">d",
}


def to_bytes(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    form = _BYTE_FORMS.get(kind_of(value))
    if form is not None:
        return struct.pack(form, value)
    match value:
        case Instant(nanos):
            return struct.pack(">qi", *divmod(nanos, NANOS_PER_SECOND))
        case Timestamp(nanos):
            return struct.pack(">q", nanos // NANOS_PER_MILLI)
        case UtilDate(millis) | SqlTime(millis):
            return struct.pack(">q", millis)
        case LocalDate(epoch_day):
            return struct.pack(">q", epoch_day)
        case LocalTime(nano_of_day):
            return struct.pack(">q", nano_of_day)
        case LocalDateTime(nanos):
            return struct.pack(">qq", *divmod(nanos, NANOS_PER_DAY))
    raise ConversionError(value, "BYTES")


_CONVERTERS: dict[str, Callable[[Value], Value]] = {
    "STRING": to_text,
    "INT8": to_int8,
    "INT16": to_int16,
    "INT32": to_int32,
    "INT64": to_int64,
    "FLOAT": to_float,
    "DOUBLE": to_double,
    "BOOLEAN": to_boolean,
    "BYTES": to_bytes,
    "DECIMAL": to_decimal,
    "INSTANT": to_instant,
    "LOCAL_DATE": to_local_date,
    "LOCAL_TIME": to_local_time,
    "LOCAL_DATE_TIME": to_local_date_time,
    "DATE": to_util_date,
    "TIMESTAMP": to_timestamp,
    "TIME": to_time,
}
TARGETS = frozenset(_CONVERTERS)


def convert(value: Value, target: str) -> Value:
    """`value` as `target`; null stays null. Raises ConversionError."""
    if value is None:
        return None
    converter = _CONVERTERS.get(target)
    if converter is None:
        raise ConversionError(value, target)
    return converter(value)
