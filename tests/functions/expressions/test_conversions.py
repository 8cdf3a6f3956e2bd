"""The typed conversion table."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from tidemill.functions.expressions import TARGETS, ConversionError, convert
from tidemill.functions.expressions.values import (
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
    kind_of,
)

SECOND = 10**9
NOON = 12 * 3600 * SECOND
DAY = 86400 * SECOND


@pytest.mark.parametrize(
    ("value", "target", "expected"),
    [
        ("7.9", "INT32", 7),
        ("", "INT64", 0),
        (12345678901, "INT32", 2**31 - 1),
        (10**30, "INT64", 2**63 - 1),
        (math.nan, "INT32", 0),
        (-math.inf, "INT64", -(2**63)),
        (300, "INT8", 44),
        (70000, "INT16", 4464),
        (2**63 - 1, "INT64", 2**63 - 1),
        (b"\xff", "INT8", -1),
        (b"\x00\x05", "INT16", 5),
        (b"\x00\x00\x00\x05", "INT32", 5),
        (b"\x00" * 7 + b"\x05", "INT64", 5),
        (b"\x3f\xc0\x00\x00", "FLOAT", 1.5),
        (b"\x3f\xf8\x00\x00\x00\x00\x00\x00", "DOUBLE", 1.5),
        (0.1, "FLOAT", 0.10000000149011612),
        (1e300, "FLOAT", math.inf),
        ("-Infinity", "DOUBLE", -math.inf),
        (Decimal("12.340"), "DOUBLE", 12.34),
        (LocalDate(19000), "INT32", 19000),
        (LocalTime(NOON), "INT64", 12 * 3600 * 1000),
        (Instant(1_500_000), "DOUBLE", 1.5),
        (Instant(-1), "INT64", -1),
        (LocalDateTime(DAY), "INT64", 86_400_000),
        (UtilDate(7), "INT64", 7),
        ("TRUE", "BOOLEAN", True),
        ("yes", "BOOLEAN", False),
        (b"\x02", "BOOLEAN", True),
        ("12.340", "DECIMAL", Decimal("12.340")),
        (1e10, "DECIMAL", Decimal("1.0E+10")),
        (5, "DECIMAL", Decimal(5)),
        ("é", "BYTES", b"\xc3\xa9"),
        (True, "BYTES", b"\x01"),
        (5, "BYTES", b"\x00\x00\x00\x05"),
        (Long(5), "BYTES", b"\x00" * 7 + b"\x05"),
        (Short(5), "BYTES", b"\x00\x05"),
        (Float32(1.5), "BYTES", b"\x3f\xc0\x00\x00"),
        (Instant(SECOND + 1), "BYTES", b"\x00" * 7 + b"\x01" + b"\x00\x00\x00\x01"),
        (LocalDateTime(DAY + 1), "BYTES", b"\x00" * 7 + b"\x01" + b"\x00" * 7 + b"\x01"),
        (LocalDate(1), "BYTES", b"\x00" * 7 + b"\x01"),
        (LocalTime(1), "BYTES", b"\x00" * 7 + b"\x01"),
        (SqlTime(1), "BYTES", b"\x00" * 7 + b"\x01"),
        (Timestamp(1_000_000), "BYTES", b"\x00" * 7 + b"\x01"),
        ("1970-01-02", "INSTANT", Instant(DAY)),
        ("1970-01-01T01:00:00+01:00", "INSTANT", Instant(0)),
        ("1970-01-01T00:00:00.5Z", "INSTANT", Instant(SECOND // 2)),
        (Long(1), "INSTANT", Instant(1_000_000)),
        (1.5, "INSTANT", Instant(1_500_000)),
        (LocalDate(1), "INSTANT", Instant(DAY)),
        ("1970-01-02", "LOCAL_DATE", LocalDate(1)),
        (19000.9, "LOCAL_DATE", LocalDate(19000)),
        (Instant(DAY + NOON), "LOCAL_DATE", LocalDate(1)),
        ("12:00", "LOCAL_TIME", LocalTime(NOON)),
        (Instant(DAY + NOON), "LOCAL_TIME", LocalTime(NOON)),
        (SqlTime(1500), "LOCAL_TIME", LocalTime(SECOND)),
        ("1970-01-02T12:00:00", "LOCAL_DATE_TIME", LocalDateTime(DAY + NOON)),
        (LocalDate(1), "LOCAL_DATE_TIME", LocalDateTime(DAY)),
        ("1970-01-02", "DATE", UtilDate(86_400_000)),
        (2.75, "DATE", UtilDate(2)),
        (b"\x00" * 8, "DATE", UtilDate(0)),
        (SqlTime(5), "TIMESTAMP", Timestamp(5_000_000)),
        (SqlTime(5), "DATE", UtilDate(5)),
        (Long(5), "TIMESTAMP", Timestamp(5_000_000)),
        (Instant(5), "TIMESTAMP", Timestamp(5)),
        ("12:00:00.9", "TIME", SqlTime(12 * 3600 * 1000)),
        (Instant(NOON), "TIME", SqlTime(12 * 3600 * 1000)),
        (Long(1000), "TIME", SqlTime(1000)),
        (Instant(0), "STRING", "1970-01-01T00:00:00Z"),
        ({"a": [1, None]}, "STRING", "{a=[1, null]}"),
    ],
)
def test_conversion(value: object, target: str, expected: object) -> None:
    assert convert(value, target) == expected


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("INT8", "byte"),
        ("INT16", "short"),
        ("INT32", "int"),
        ("INT64", "long"),
        ("FLOAT", "float"),
        ("DOUBLE", "double"),
    ],
)
def test_the_kind_is_the_targets(target: str, kind: str) -> None:
    assert kind_of(convert("5", target)) == kind


@pytest.mark.parametrize(
    ("value", "target"),
    [
        (True, "INT32"),
        ("x", "DOUBLE"),
        ("0x10", "INT32"),
        ("1_000", "INT32"),
        ("inf", "DOUBLE"),
        ([1], "INT32"),
        (b"\x00", "INT32"),
        (1, "BOOLEAN"),
        ({}, "BYTES"),
        ([], "BYTES"),
        (5, "INSTANT"),
        ("1970-01-01T00:00:00", "INSTANT"),
        ("1970-13-01", "LOCAL_DATE"),
        ("24:00", "LOCAL_TIME"),
        ("1970-01-01", "LOCAL_DATE_TIME"),
        (LocalTime(0), "LOCAL_DATE"),
        (SqlTime(0), "INSTANT"),
        ("10:00", "TIMESTAMP"),
        (10**30, "DECIMAL"),
        (Short(1), "DECIMAL"),
        (BigInteger(1), "DECIMAL"),
        ("NaN", "DECIMAL"),
        (math.inf, "DECIMAL"),
        ({}, "MAP"),
    ],
)
def test_what_does_not_convert(value: object, target: str) -> None:
    with pytest.raises(ConversionError, match=target):
        convert(value, target)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_null_stays_null(target: str) -> None:
    assert convert(None, target) is None


@pytest.mark.parametrize("value", [Byte(-5), Short(700), 70000, Long(-1), Float32(0.5), 1e300, True])
def test_bytes_read_back(value: object) -> None:
    names = {"byte": "INT8", "short": "INT16", "int": "INT32", "long": "INT64"}
    kind = kind_of(value)
    assert convert(convert(value, "BYTES"), names.get(kind, kind.upper())) == value
