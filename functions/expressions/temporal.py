"""Conversions to dates, times and points in time.

Called through the table in `conversions`. Numbers are milliseconds since the epoch (days for a
date), text is ISO-8601, and what has no zone is taken as UTC.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

from . import times
from .numeric import ConversionError, from_bytes, truncate
from .values import (
    MAX_LONG,
    MIN_LONG,
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
    is_number,
    kind_of,
)

MILLIS_PER_DAY = 86_400_000


def _parsed(value: str, target: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(value)
    except ValueError as error:
        raise ConversionError(value, target, f"'{value}' is {error}") from None


def _epoch_nanos(value: Value) -> int | None:
    """Nanoseconds since the epoch, for a 64-bit or floating number of milliseconds."""
    if kind_of(value) == "long":
        return int(value) * NANOS_PER_MILLI
    if isinstance(value, float) and math.isfinite(value):
        millis = math.floor(value)
        return millis * NANOS_PER_MILLI + math.floor((value - millis) * NANOS_PER_MILLI + 0.5)
    return None


def to_instant(value: Value, target: str = "INSTANT") -> Instant:
    match value:
        case Instant():
            return value
        case str():
            return cast(Instant, _parsed(value, target, times.parse_instant))
        case Timestamp(nanos) | LocalDateTime(nanos):
            return Instant(nanos)
        case UtilDate(millis):
            return Instant(millis * NANOS_PER_MILLI)
        case LocalDate(epoch_day):
            return Instant(epoch_day * NANOS_PER_DAY)
    since_epoch = _epoch_nanos(value)
    if since_epoch is None:
        why = "milliseconds must be a 64-bit number" if kind_of(value) == "int" else ""
        raise ConversionError(value, target, why)
    return Instant(since_epoch)


def to_local_date(value: Value) -> LocalDate:
    if isinstance(value, LocalDate):
        return value
    if isinstance(value, str):
        return cast(LocalDate, _parsed(value, "LOCAL_DATE", times.parse_date))
    if is_number(value) and not isinstance(value, Decimal):
        return LocalDate(truncate(float(value), MIN_LONG, MAX_LONG))
    return LocalDate(to_instant(value, "LOCAL_DATE").nanos // NANOS_PER_DAY)


def to_local_time(value: Value) -> LocalTime:
    if isinstance(value, LocalTime):
        return value
    if isinstance(value, str):
        return cast(LocalTime, _parsed(value, "LOCAL_TIME", times.parse_time))
    if isinstance(value, SqlTime):
        return LocalTime(value.millis % MILLIS_PER_DAY // 1000 * NANOS_PER_SECOND)
    return LocalTime(to_instant(value, "LOCAL_TIME").nanos % NANOS_PER_DAY)


def to_local_date_time(value: Value) -> LocalDateTime:
    if isinstance(value, LocalDateTime):
        return value
    if isinstance(value, str):
        return cast(LocalDateTime, _parsed(value, "LOCAL_DATE_TIME", times.parse_date_time))
    return LocalDateTime(to_instant(value, "LOCAL_DATE_TIME").nanos)


def _whole_millis(value: Value) -> int | None:
    """Milliseconds since the epoch of eight bytes, a 64-bit number, a double or an SQL time."""
    if isinstance(value, bytes):
        return int(from_bytes(value, ">q", "TIMESTAMP"))
    if isinstance(value, SqlTime):
        return value.millis
    if kind_of(value) == "long":
        return int(value)
    if isinstance(value, float):
        return truncate(value, MIN_LONG, MAX_LONG)
    return None


def to_timestamp(value: Value) -> Timestamp:
    if isinstance(value, Timestamp):
        return value
    millis = _whole_millis(value)
    if millis is not None:
        return Timestamp(millis * NANOS_PER_MILLI)
    return Timestamp(to_instant(value, "TIMESTAMP").nanos)


def to_util_date(value: Value) -> UtilDate:
    if isinstance(value, UtilDate):
        return value
    millis = _whole_millis(value)
    return UtilDate(to_instant(value, "DATE").nanos // NANOS_PER_MILLI if millis is None else millis)


def to_time(value: Value) -> SqlTime:
    if isinstance(value, SqlTime):
        return value
    if isinstance(value, str):
        value = _parsed(value, "TIME", times.parse_time)
    if isinstance(value, LocalTime):
        return SqlTime(value.nano_of_day // NANOS_PER_SECOND * 1000)
    millis = _whole_millis(value)
    return SqlTime(to_instant(value, "TIME").nanos // NANOS_PER_MILLI if millis is None else millis)
