"""The typed conversion table of `compute.type`, `cast` and the `fn:to…` functions.

`convert(value, target)` is the only entry; targets are the upper-case names of the agents'
configuration. Null stays null for every target. What has no row raises ConversionError, which the
callers present with their own place (an expression's column, an agent's field).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, cast

from ...errors import RecordError
from . import times
from .javatext import double_text, to_text
from .values import (
    MAX_INT,
    MAX_LONG,
    MIN_INT,
    MIN_LONG,
    NANOS_PER_DAY,
    NANOS_PER_MILLI,
    NANOS_PER_SECOND,
    BigInteger,
    Byte,
    Float32,
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
    is_integer,
    is_number,
    kind_of,
    saturate,
    wrap,
)

MILLIS_PER_DAY = 86_400_000


class ConversionError(RecordError):
    """A value cannot become the wanted kind."""

    def __init__(self, value: Value, target: str, why: str = "") -> None:
        self.kind_found, self.target = kind_of(value), target
        super().__init__(
            f"a value of kind {self.kind_found} cannot become {target}" + (f": {why}" if why else "")
        )


# --- numbers ---------------------------------------------------------------------------------------


def parse_double(text: str) -> float:
    """A number as Java reads it: surrounding blanks, a suffix f or d, NaN, Infinity and hexadecimal
    floats are allowed; underscores and Python's own words are not. Raises ValueError."""
    bare = text.strip("".join(map(chr, range(33))))
    unsigned = bare[1:] if bare[:1] in ("+", "-") else bare
    if unsigned in ("NaN", "Infinity"):
        return math.nan if unsigned == "NaN" else float(bare)
    if bare[-1:] in "fFdD" and unsigned[:1].isdecimal():
        bare = bare[:-1]
    if not bare.isascii() or "_" in bare or not (unsigned[:1].isdecimal() or unsigned[:1] == "."):
        raise ValueError(f"'{text}' is no number")
    if unsigned[:2] in ("0x", "0X"):
        if "p" not in bare.lower():
            raise ValueError(f"'{text}' is no number")
        return float.fromhex(bare)
    return float(bare)


def to_float32(value: float) -> Float32:
    """Rounded to 32 bits; too large becomes infinite."""
    try:
        return Float32(struct.unpack(">f", struct.pack(">f", value))[0])
    except OverflowError:
        return Float32(math.copysign(math.inf, value))


def widen(value: int) -> float:
    """An integer as a double; beyond the range, infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def _millis_of(value: Value) -> Fraction | None:
    """The number that a date or time stands for: days for a date, else milliseconds."""
    match value:
        case LocalDate():
            return Fraction(value.epoch_day)
        case LocalTime():
            return Fraction(value.nano_of_day, NANOS_PER_MILLI)
        case Instant() | Timestamp() | LocalDateTime():
            return Fraction(value.nanos, NANOS_PER_MILLI)
        case UtilDate() | SqlTime():
            return Fraction(value.millis)
    return None


def _number(value: Value, target: str) -> float:
    """What the integer and float targets start from: everything goes by way of a double."""
    if isinstance(value, str):
        if not value:
            return 0.0
        try:
            return parse_double(value)
        except ValueError as error:
            raise ConversionError(value, target, str(error)) from None
    if is_integer(value):
        return widen(value)
    if isinstance(value, float):
        return value
    if isinstance(value, Decimal):
        return float(value)
    millis = _millis_of(value)
    if millis is None:
        raise ConversionError(value, target)
    return float(millis)


def _truncate(value: float, low: int, high: int) -> int:
    if math.isnan(value):
        return 0
    if math.isinf(value):
        return high if value > 0 else low
    return saturate(int(value), low, high)


def _from_bytes(value: bytes, form: str, target: str) -> Any:
    try:
        return struct.unpack(form, value)[0]
    except struct.error:
        wanted = struct.calcsize(form)
        raise ConversionError(value, target, f"it takes {wanted} bytes, these are {len(value)}") from None


def _to_int8(value: Value) -> Byte:
    if isinstance(value, bytes):
        return Byte(_from_bytes(value, ">b", "INT8"))
    return Byte(wrap(_truncate(_number(value, "INT8"), MIN_INT, MAX_INT), 8))


def _to_int16(value: Value) -> Short:
    if isinstance(value, bytes):
        return Short(_from_bytes(value, ">h", "INT16"))
    return Short(wrap(_truncate(_number(value, "INT16"), MIN_INT, MAX_INT), 16))


def _to_int32(value: Value) -> int:
    if isinstance(value, bytes):
        return int(_from_bytes(value, ">i", "INT32"))
    return _truncate(_number(value, "INT32"), MIN_INT, MAX_INT)


def _to_int64(value: Value) -> Long:
    if is_integer(value) and type(value) is not BigInteger and MIN_LONG <= value <= MAX_LONG:
        return Long(value)
    if isinstance(value, bytes):
        return Long(_from_bytes(value, ">q", "INT64"))
    millis = _millis_of(value)
    if millis is not None:
        return Long(math.floor(millis))
    return Long(_truncate(_number(value, "INT64"), MIN_LONG, MAX_LONG))


def _to_float(value: Value) -> Float32:
    if isinstance(value, bytes):
        return Float32(_from_bytes(value, ">f", "FLOAT"))
    return to_float32(_number(value, "FLOAT"))


def _to_double(value: Value) -> float:
    if isinstance(value, bytes):
        return float(_from_bytes(value, ">d", "DOUBLE"))
    return float(_number(value, "DOUBLE"))


def _to_decimal(value: Value) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str):
        return parse_decimal(value)
    if isinstance(value, float) and math.isfinite(value):
        return Decimal(double_text(float(value)))
    if kind_of(value) in ("int", "long"):
        return Decimal(value)
    raise ConversionError(value, "DECIMAL")


def parse_decimal(text: str) -> Decimal:
    plain = text.isascii() and "_" not in text and text == text.strip()
    try:
        number = Decimal(text) if plain else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite():
        raise ConversionError(text, "DECIMAL", f"'{text}' is no number")
    return number


# --- text, booleans and bytes ----------------------------------------------------------------------


def _to_boolean(value: Value) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.lower() == "true"
    if isinstance(value, bytes):
        return bool(_from_bytes(value, ">b", "BOOLEAN"))
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


def _to_bytes(value: Value) -> bytes:
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


# --- dates and times -------------------------------------------------------------------------------


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


def _to_local_date(value: Value) -> LocalDate:
    if isinstance(value, LocalDate):
        return value
    if isinstance(value, str):
        return cast(LocalDate, _parsed(value, "LOCAL_DATE", times.parse_date))
    if is_number(value) and not isinstance(value, Decimal):
        return LocalDate(_truncate(float(value), MIN_LONG, MAX_LONG))
    return LocalDate(to_instant(value, "LOCAL_DATE").nanos // NANOS_PER_DAY)


def _to_local_time(value: Value) -> LocalTime:
    if isinstance(value, LocalTime):
        return value
    if isinstance(value, str):
        return cast(LocalTime, _parsed(value, "LOCAL_TIME", times.parse_time))
    if isinstance(value, SqlTime):
        return LocalTime(value.millis % MILLIS_PER_DAY // 1000 * NANOS_PER_SECOND)
    return LocalTime(to_instant(value, "LOCAL_TIME").nanos % NANOS_PER_DAY)


def _to_local_date_time(value: Value) -> LocalDateTime:
    if isinstance(value, LocalDateTime):
        return value
    if isinstance(value, str):
        return cast(LocalDateTime, _parsed(value, "LOCAL_DATE_TIME", times.parse_date_time))
    return LocalDateTime(to_instant(value, "LOCAL_DATE_TIME").nanos)


def _whole_millis(value: Value) -> int | None:
    """Milliseconds since the epoch of eight bytes, a 64-bit number, a double or an SQL time."""
    if isinstance(value, bytes):
        return int(_from_bytes(value, ">q", "TIMESTAMP"))
    if isinstance(value, SqlTime):
        return value.millis
    if kind_of(value) == "long":
        return int(value)
    if isinstance(value, float):
        return _truncate(value, MIN_LONG, MAX_LONG)
    return None


def _to_timestamp(value: Value) -> Timestamp:
    if isinstance(value, Timestamp):
        return value
    millis = _whole_millis(value)
    if millis is not None:
        return Timestamp(millis * NANOS_PER_MILLI)
    return Timestamp(to_instant(value, "TIMESTAMP").nanos)


def _to_util_date(value: Value) -> UtilDate:
    if isinstance(value, UtilDate):
        return value
    millis = _whole_millis(value)
    return UtilDate(to_instant(value, "DATE").nanos // NANOS_PER_MILLI if millis is None else millis)


def _to_time(value: Value) -> SqlTime:
    if isinstance(value, SqlTime):
        return value
    if isinstance(value, str):
        value = _parsed(value, "TIME", times.parse_time)
    if isinstance(value, LocalTime):
        return SqlTime(value.nano_of_day // NANOS_PER_SECOND * 1000)
    millis = _whole_millis(value)
    return SqlTime(to_instant(value, "TIME").nanos // NANOS_PER_MILLI if millis is None else millis)


_CONVERTERS: dict[str, Callable[[Value], Value]] = {
    "STRING": to_text,
    "INT8": _to_int8,
    "INT16": _to_int16,
    "INT32": _to_int32,
    "INT64": _to_int64,
    "FLOAT": _to_float,
    "DOUBLE": _to_double,
    "BOOLEAN": _to_boolean,
    "BYTES": _to_bytes,
    "DECIMAL": _to_decimal,
    "INSTANT": to_instant,
    "LOCAL_DATE": _to_local_date,
    "LOCAL_TIME": _to_local_time,
    "LOCAL_DATE_TIME": _to_local_date_time,
    "DATE": _to_util_date,
    "TIMESTAMP": _to_timestamp,
    "TIME": _to_time,
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
