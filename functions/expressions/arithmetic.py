"""Arithmetic with the language's coercions.

Called through the operator table. One of four number systems is picked by the operands (decimal,
double, big integer, long), as Jakarta Expression Language does; `+` never concatenates. Text counts
as a number, null and empty text as zero. Faults are OperandError, to which the compiler adds
expression and column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from fractions import Fraction
from typing import Literal

from ...errors import RecordError
from .conversions import convert
from .numeric import parse_decimal, parse_double, widen
from .values import (
    MAX_LONG,
    MIN_LONG,
    BigInteger,
    Byte,
    Float32,
    Long,
    Short,
    Value,
    is_big_integer,
    is_number,
    kind_of,
    wrap,
)

System = Literal["decimal", "double", "big", "long"]

# Enough digits for any sensible decimal; beyond, an error rather than a silently rounded result.
_EXACT = Context(prec=5000, Emax=10**9, Emin=-(10**9), traps=[Inexact, InvalidOperation, Overflow])
_SMALL = frozenset({int, Long, Short, Byte})
_WHOLE = re.compile(r"[+-]?[0-9]+\Z")


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


def no_number(value: Value) -> OperandError:
    """The fault to raise for a value that is no number."""
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
        raise no_number(value)
    return Decimal(value) if is_big_integer(value) else Decimal(float(value))


def _double(value: Value) -> float:
    if value is None or value == "":
        return 0.0
    if isinstance(value, str):
        try:
            return parse_double(value)
        except ValueError:
            raise no_number(value) from None
    if not is_number(value):
        raise no_number(value)
    return widen(value) if isinstance(value, int) else float(value)


def whole_number(value: Value) -> int:
    """A number cut to an integer, or an integer's text."""
    if value is None or value == "":
        return 0
    if isinstance(value, str):
        if not _WHOLE.match(value) or len(value) > 4000:
            raise no_number(value)
        return int(value)
    if not is_number(value):
        raise no_number(value)
    return int(value)


def _long(value: Value) -> int:
    number = whole_number(value)
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
                return _bounded(whole(whole_number(left), whole_number(right)))
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
    divisor_ = whole_number(right)
    if divisor_ <= 0:
        raise OperandError("a big integer's modulus must be positive")
    return BigInteger(whole_number(left) % divisor_)


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
