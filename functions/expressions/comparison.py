"""Truth, equality and order with the language's coercions.

Called through the operator table and by the compiled conditions. Numbers compare by value, a number
with text as numbers, text by UTF-16 units; everything else as Java's `equals` and `compareTo` do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from .arithmetic import OperandError, no_number, whole_number
from .conversions import convert
from .javatext import to_text
from .values import (
    NANOS_PER_MILLI,
    BigInteger,
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
    is_big_integer,
    is_integer,
    kind_of,
)

_INTEGERS = frozenset({int, Long, Short, Byte, BigInteger})
_ORDERED = (bool, Instant, LocalDate, LocalDateTime, LocalTime, SqlTime, Timestamp, UtilDate)


def truth(value: Value) -> bool:
    """A value as a condition; null is an error here."""
    if value is None:
        raise OperandError("null is neither true nor false; compare with null first")
    found: bool = convert(value, "BOOLEAN")
    return found


def lenient_truth(value: Value) -> bool:
    """As in `when`: null counts as false."""
    return False if value is None else truth(value)


def is_empty(value: Value) -> bool:
    return value is None or (isinstance(value, str | list | tuple | dict) and not value)


def same(left: Value, right: Value) -> bool:
    """Java's `equals`: the kinds must agree, all the way down; byte arrays are only equal to themselves."""
    if left is right:
        return True
    if isinstance(left, bytes):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(item, right[key]) for key, item in left.items())
    if isinstance(left, UtilDate | SqlTime):
        return _java_millis(left) == _java_millis(right)
    if kind_of(left) != kind_of(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Decimal):
        return bool(left.as_tuple() == right.as_tuple())
    return _same_double(left, right) if isinstance(left, float) else bool(left == right)


def _java_millis(value: Value) -> int | None:
    """The milliseconds of Java's older date classes, which compare with one another."""
    if isinstance(value, Timestamp):
        return value.nanos // NANOS_PER_MILLI
    return value.millis if isinstance(value, UtilDate | SqlTime) else None


def _same_double(left: float, right: float) -> bool:
    """NaN equals itself and 0.0 is not -0.0."""
    if left != left or right != right:
        return left != left and right != right
    return left == right and math.copysign(1, left) == math.copysign(1, right)


def _big(value: Value) -> int:
    if isinstance(value, bool):
        raise no_number(value)
    return whole_number(value)


def _comparable(left: Value, right: Value) -> tuple[Any, Any] | None:
    """Both operands in the number system of their comparison; None if neither is a number."""
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return convert(left, "DECIMAL"), convert(right, "DECIMAL")
    if isinstance(left, float) or isinstance(right, float):
        return convert(left, "DOUBLE"), convert(right, "DOUBLE")
    if is_big_integer(left) or is_big_integer(right):
        return _big(left), _big(right)
    if is_integer(left) or is_integer(right):
        return convert(left, "INT64"), convert(right, "INT64")
    return None


def equal(left: Value, right: Value) -> bool:
    if left is right:
        return True
    if left is None or right is None:
        return False
    kinds = type(left), type(right)
    if kinds == (str, str) or (kinds[0] in _INTEGERS and kinds[1] in _INTEGERS):
        return bool(left == right)
    numbers = _comparable(left, right)
    if numbers is not None:
        return same(*numbers)
    if isinstance(left, bool) or isinstance(right, bool):
        return bool(convert(left, "BOOLEAN") == convert(right, "BOOLEAN"))
    if isinstance(left, str) or isinstance(right, str):
        return to_text(left) == to_text(right)
    return same(left, right)


def unequal(left: Value, right: Value) -> bool:
    return not equal(left, right)


def _compare_text(left: str, right: str) -> int:
    """By UTF-16 units."""
    if left.isascii() and right.isascii():
        return (left > right) - (left < right)
    first, second = (text.encode("utf-16-be", "surrogatepass") for text in (left, right))
    return (first > second) - (first < second)


def _compare_doubles(left: float, right: float) -> int:
    """NaN is above all, -0.0 below 0.0."""
    if left != left or right != right:
        return (left != left) - (right != right)
    if left == right:
        return (math.copysign(1, left) > math.copysign(1, right)) - (
            math.copysign(1, left) < math.copysign(1, right)
        )
    return (left > right) - (left < right)


def compare(left: Value, right: Value) -> int:
    """Negative, zero or positive; neither operand is null."""
    if type(left) in _INTEGERS and type(right) in _INTEGERS:
        return int(left > right) - int(left < right)
    if equal(left, right):
        return 0
    numbers = _comparable(left, right)
    if numbers is not None:
        first, second = numbers
        if isinstance(first, float):
            return _compare_doubles(first, second)
        return int(first > second) - int(first < second)
    if isinstance(left, str) or isinstance(right, str):
        return _compare_text(to_text(left), to_text(right))
    if type(left) is type(right) and isinstance(left, _ORDERED):
        return int(left > right) - int(left < right)
    first_millis, second_millis = _java_millis(left), _java_millis(right)
    if first_millis is not None and second_millis is not None:
        return int(first_millis > second_millis) - int(first_millis < second_millis)
    raise OperandError(f"values of kind {kind_of(left)} and {kind_of(right)} have no order")


def _comparison(test: Callable[[int], bool], both_null: bool) -> Callable[[Value, Value], bool]:
    def apply(left: Value, right: Value) -> bool:
        if left is None or right is None:
            return both_null and left is right
        return test(compare(left, right))

    return apply


less = _comparison(lambda order: order < 0, both_null=False)
greater = _comparison(lambda order: order > 0, both_null=False)
at_most = _comparison(lambda order: order <= 0, both_null=True)
at_least = _comparison(lambda order: order >= 0, both_null=True)
