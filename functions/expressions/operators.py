"""What the operators do: arithmetic, equality, order and truth with the language's coercions.

Called by the compiled expressions. Arithmetic picks one of four number systems by its operands
(decimal, double, big integer, long), as Jakarta Expression Language does; `+` never concatenates.
Faults are OperandError, to which the compiler adds expression and column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from fractions import Fraction
from typing import Any, Literal

from ...errors import RecordError
from .conversions import convert, parse_decimal, parse_double, widen
from .javatext import to_text
from .values import (
    MAX_LONG,
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
    is_big_integer,
    is_integer,
    is_number,
    kind_of,
    wrap,
)

System = Literal["decimal", "double", "big", "long"]

# Enough digits for any sensible decimal; beyond, an error rather than a silently rounded result.
_EXACT = Context(prec=5000, Emax=10**9, Emin=-(10**9), traps=[Inexact, InvalidOperation, Overflow])
_SMALL = frozenset({int, Long, Short, Byte})
_INTEGERS = _SMALL | {BigInteger}
_WHOLE = re.compile(r"[+-]?[0-9]+\Z")
_ORDERED = (bool, Instant, LocalDate, LocalDateTime, LocalTime, SqlTime, Timestamp, UtilDate)


class OperandError(RecordError):
    """An operator cannot work on these operands."""


def _looks_floating(value: Value) -> bool:
    return isinstance(value, str) and len(value) > 1 and any(c in value for c in ".eE")


def _system(left: Value, right: Value) -> System:
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return "decimal"
    big = is_big_integer(left) or is_big_integer(right)
    floating = isinstance(left, float) or isinstance(right, float)
    if floating or _looks_floating(left) or _looks_floating(right):
        return "decimal" if big else "double"
    return "big" if big else "long"


def _no_number(value: Value) -> OperandError:
    shown = f"'{value}'" if isinstance(value, str) else f"a value of kind {kind_of(value)}"
    return OperandError(f"{shown} is no number")


def _decimal(value: Value) -> Decimal:
    if value is None or value == "":
        return Decimal(0)
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str):
        return parse_decimal(value)
    if not is_number(value) or (isinstance(value, float) and not math.isfinite(value)):
        raise _no_number(value)
    return Decimal(value) if is_big_integer(value) else Decimal(float(value))


def _double(value: Value) -> float:
    if value is None or value == "":
        return 0.0
    if isinstance(value, str):
        try:
            return parse_double(value)
        except ValueError:
            raise _no_number(value) from None
    if not is_number(value):
        raise _no_number(value)
    return widen(value) if isinstance(value, int) else float(value)


def _whole(value: Value) -> int:
    if value is None or value == "":
        return 0
    if isinstance(value, str):
        if not _WHOLE.match(value) or len(value) > 4000:
            raise _no_number(value)
        return int(value)
    if not is_number(value):
        raise _no_number(value)
    return int(value)


def _long(value: Value) -> int:
    number = _whole(value)
    if isinstance(value, str) and not MIN_LONG <= number <= MAX_LONG:
        raise OperandError(f"'{value}' is no 64-bit number")
    return number


def _exactly(operation: Callable[[Decimal, Decimal], Decimal]) -> Callable[[Decimal, Decimal], Decimal]:
    def run(left: Decimal, right: Decimal) -> Decimal:
        try:
            return operation(left, right)
        except (Inexact, InvalidOperation, Overflow):
            raise OperandError("the result has more digits than a decimal may have") from None

    return run


def _bounded(number: int) -> BigInteger:
    """Python writes no integer of more than 4300 digits as text."""
    if number.bit_length() > 14000:
        raise OperandError("the result has more digits than a big integer may have")
    return BigInteger(number)


def _arithmetic(
    whole: Callable[[int, int], int],
    double: Callable[[float, float], float],
    decimal: Callable[[Decimal, Decimal], Decimal],
) -> Callable[[Value, Value], Value]:
    exact = _exactly(decimal)

    def apply(left: Value, right: Value) -> Value:
        if type(left) in _SMALL and type(right) in _SMALL:
            result = whole(left, right)
            if (
                MIN_LONG <= result <= MAX_LONG
                and MIN_LONG <= left <= MAX_LONG
                and MIN_LONG <= right <= MAX_LONG
            ):
                return Long(result)
        elif type(left) is float and type(right) is float:
            return double(left, right)
        match _system(left, right):
            case "decimal":
                return exact(_decimal(left), _decimal(right))
            case "double":
                return double(_double(left), _double(right))
            case "big":
                return _bounded(whole(_whole(left), _whole(right)))
            case "long":
                return Long(wrap(whole(_long(left), _long(right)), 64))

    return apply


add = _arithmetic(lambda a, b: int(a) + int(b), lambda a, b: a + b, _EXACT.add)
subtract = _arithmetic(lambda a, b: int(a) - int(b), lambda a, b: a - b, _EXACT.subtract)
multiply = _arithmetic(lambda a, b: int(a) * int(b), lambda a, b: a * b, _EXACT.multiply)


def divide_doubles(left: float, right: float) -> float:
    if right:
        return left / right
    if left == 0 or math.isnan(left) or math.isnan(right):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _divide_decimals(left: Decimal, right: Decimal) -> Decimal:
    """Rounded half up to the left operand's scale."""
    if not right:
        raise OperandError("division by zero")
    exponent = int(left.as_tuple().exponent)
    if abs(exponent) > 5000 or abs(right.adjusted()) > 5000:
        raise OperandError("the result has more digits than a decimal may have")
    quotient = Fraction(left) / Fraction(right) / Fraction(10) ** exponent
    rounded = math.floor(abs(quotient) + Fraction(1, 2))
    return Decimal(rounded if quotient >= 0 else -rounded).scaleb(exponent, _EXACT)


def divide(left: Value, right: Value) -> Value:
    if left is None and right is None:
        return Long(0)
    decimals = isinstance(left, Decimal) or isinstance(right, Decimal)
    if decimals or is_big_integer(left) or is_big_integer(right):
        return _divide_decimals(_decimal(left), _decimal(right))
    return divide_doubles(_double(left), _double(right))


def _remainder(left: int, right: int) -> int:
    """With the sign of the dividend."""
    if not right:
        raise OperandError("division by zero")
    rest = abs(left) % abs(right)
    return rest if left >= 0 else -rest


def modulo(left: Value, right: Value) -> Value:
    if left is None and right is None:
        return Long(0)
    system = _system(left, right)
    if system == "double" or isinstance(left, Decimal) or isinstance(right, Decimal):
        dividend, divisor = _double(left), _double(right)
        return math.nan if not divisor or math.isinf(dividend) else math.fmod(dividend, divisor)
    if system == "long":
        return Long(_remainder(_long(left), _long(right)))
    divisor_ = _whole(right)
    if divisor_ <= 0:
        raise OperandError("a big integer's modulus must be positive")
    return BigInteger(_whole(left) % divisor_)


def negate(value: Value) -> Value:
    if value is None:
        return Long(0)
    if isinstance(value, str):
        return -_double(value) if _looks_floating(value) else Long(wrap(-_long(value or "''"), 64))
    if not is_number(value):
        return Long(wrap(-convert(value, "INT64"), 64))
    if isinstance(value, Decimal):
        return value.copy_negate() if value else value
    if isinstance(value, Float32):
        return Float32(-value)
    if isinstance(value, float):
        return -value
    kind = type(value)
    return kind(-value) if kind in (Byte, Short, Long, BigInteger) else -value


# --- truth -----------------------------------------------------------------------------------------


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


# --- equality and order ----------------------------------------------------------------------------


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
        raise _no_number(value)
    return _whole(value)


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

BINARY: dict[str, Callable[[Value, Value], Value]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": modulo,
    "==": equal,
    "!=": unequal,
    "<": less,
    ">": greater,
    "<=": at_most,
    ">=": at_least,
    "+=": lambda left, right: to_text(left) + to_text(right),
}
