"""Conversions to numbers, and the ConversionError of all conversions.

Called through the table in `conversions`. Integers and floats are reached by way of a double, as in
the original: fractions are cut, what is too large saturates, text is read as a double first.
"""

from __future__ import annotations

import math
import struct
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from ...errors import RecordError
from .javatext import double_text
from .values import (
    MAX_INT,
    MAX_LONG,
    MIN_INT,
    MIN_LONG,
    NANOS_PER_MILLI,
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
    kind_of,
    saturate,
    wrap,
)


class ConversionError(RecordError):
    """A value cannot become the wanted kind."""

    def __init__(self, value: Value, target: str, why: str = "") -> None:
        self.kind_found, self.target = kind_of(value), target
        super().__init__(
            f"a value of kind {self.kind_found} cannot become {target}" + (f": {why}" if why else "")
        )


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


def truncate(value: float, low: int, high: int) -> int:
    if math.isnan(value):
        return 0
    if math.isinf(value):
        return high if value > 0 else low
    return saturate(int(value), low, high)


def from_bytes(value: bytes, form: str, target: str) -> Any:
    try:
        return struct.unpack(form, value)[0]
    except struct.error:
        wanted = struct.calcsize(form)
        raise ConversionError(value, target, f"it takes {wanted} bytes, these are {len(value)}") from None


def to_int8(value: Value) -> Byte:
    if isinstance(value, bytes):
        return Byte(from_bytes(value, ">b", "INT8"))
    return Byte(wrap(truncate(_number(value, "INT8"), MIN_INT, MAX_INT), 8))


def to_int16(value: Value) -> Short:
    if isinstance(value, bytes):
        return Short(from_bytes(value, ">h", "INT16"))
    return Short(wrap(truncate(_number(value, "INT16"), MIN_INT, MAX_INT), 16))


def to_int32(value: Value) -> int:
    if isinstance(value, bytes):
        return int(from_bytes(value, ">i", "INT32"))
    return truncate(_number(value, "INT32"), MIN_INT, MAX_INT)


def to_int64(value: Value) -> Long:
    if is_integer(value) and type(value) is not BigInteger and MIN_LONG <= value <= MAX_LONG:
        return Long(value)
    if isinstance(value, bytes):
        return Long(from_bytes(value, ">q", "INT64"))
    millis = _millis_of(value)
    if millis is not None:
        return Long(math.floor(millis))
    return Long(truncate(_number(value, "INT64"), MIN_LONG, MAX_LONG))


def to_float(value: Value) -> Float32:
    if isinstance(value, bytes):
        return Float32(from_bytes(value, ">f", "FLOAT"))
    return to_float32(_number(value, "FLOAT"))


def to_double(value: Value) -> float:
    if isinstance(value, bytes):
        return float(from_bytes(value, ">d", "DOUBLE"))
    return float(_number(value, "DOUBLE"))


def to_decimal(value: Value) -> Decimal:
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
