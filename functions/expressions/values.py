"""The value kinds that JSON and Python lack, and the one function that names a value's kind.

Read by every module of this package and by the transform agents. Plain Python values stand for the
common kinds, so that parsed JSON needs no conversion: an `int` is a 32-bit integer, a long or a big
integer by its size, a `float` a double, a `Decimal` a decimal. The classes below mark what such a
value cannot tell: a long that would fit 32 bits, a 32-bit float, points in time. They are subclasses
of `int`, `float` and `list` wherever Python has the kind, so user code need not know them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeAlias

from msgspec import Struct

Value: TypeAlias = Any  # a user's payload

NANOS_PER_SECOND = 1_000_000_000
NANOS_PER_MILLI = 1_000_000
NANOS_PER_DAY = 86_400 * NANOS_PER_SECOND

MIN_INT, MAX_INT = -(2**31), 2**31 - 1
MIN_LONG, MAX_LONG = -(2**63), 2**63 - 1


class Byte(int):
    """An 8-bit integer."""

    __slots__ = ()


class Short(int):
    """A 16-bit integer."""

    __slots__ = ()


class Long(int):
    """A 64-bit integer of any size; a plain `int` beyond 32 bits is one too."""

    __slots__ = ()


class BigInteger(int):
    """An unbounded integer of any size; a plain `int` beyond 64 bits is one too."""

    __slots__ = ()


class Float32(float):
    """A 32-bit float, widened."""

    __slots__ = ()


class ValueSet(list[Any]):
    """A set whose members need not be hashable: a list without equal members."""

    __slots__ = ()


class Instant(Struct, frozen=True, order=True):
    """A point in time: nanoseconds since the epoch."""

    nanos: int


class Timestamp(Struct, frozen=True, order=True):
    """An SQL timestamp: a point in time with nanoseconds."""

    nanos: int


class UtilDate(Struct, frozen=True, order=True):
    """A date-time of milliseconds since the epoch."""

    millis: int


class SqlTime(Struct, frozen=True, order=True):
    """An SQL time of day: milliseconds since the epoch, shown as hours, minutes and seconds."""

    millis: int


class LocalDate(Struct, frozen=True, order=True):
    """A calendar date: days since the epoch."""

    epoch_day: int


class LocalTime(Struct, frozen=True, order=True):
    """A time of day: nanoseconds since midnight."""

    nano_of_day: int


class LocalDateTime(Struct, frozen=True, order=True):
    """A date and time without zone: nanoseconds since the epoch as if in UTC."""

    nanos: int


def _integer_kind(value: int) -> str:
    if MIN_INT <= value <= MAX_INT:
        return "int"
    return "long" if MIN_LONG <= value <= MAX_LONG else "biginteger"


_KINDS: dict[type, str] = {
    type(None): "null",
    str: "string",
    bool: "boolean",
    Byte: "byte",
    Short: "short",
    Long: "long",
    BigInteger: "biginteger",
    Float32: "float",
    float: "double",
    Decimal: "decimal",
    bytes: "bytes",
    dict: "map",
    list: "list",
    tuple: "list",
    ValueSet: "set",
    Instant: "instant",
    Timestamp: "timestamp",
    UtilDate: "date",
    SqlTime: "time",
    LocalDate: "local_date",
    LocalTime: "local_time",
    LocalDateTime: "local_date_time",
}

_SUPERTYPES: tuple[tuple[type, str], ...] = (
    (str, "string"),
    (float, "double"),
    (dict, "map"),
    (list, "list"),
    (bytes, "bytes"),
)


def kind_of(value: Value) -> str:
    """The kind's name; for a class of which nothing is known, the class's own name."""
    found = _KINDS.get(type(value))
    if found is not None:
        return found
    if isinstance(value, int):
        return _integer_kind(value)
    return next((kind for base, kind in _SUPERTYPES if isinstance(value, base)), type(value).__name__)


def is_number(value: Value) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def is_integer(value: Value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_big_integer(value: Value) -> bool:
    """True for what needs, or is marked to need, unbounded arithmetic."""
    kind = type(value)
    if kind is int:
        return not MIN_LONG <= value <= MAX_LONG
    return kind is BigInteger


def wrap(value: int, bits: int) -> int:
    """`value` as a two's complement integer of that width."""
    half = 1 << (bits - 1)
    return (value + half) % (half << 1) - half


def saturate(value: int, low: int, high: int) -> int:
    return low if value < low else high if value > high else value
