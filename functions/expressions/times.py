"""Calendar arithmetic and the ISO-8601 forms of the date and time kinds.

Called by the text forms, the conversions and the time functions. All arithmetic is on integers in
the proleptic Gregorian calendar, so years beyond Python's `datetime` work; a form that does not
parse raises ValueError, which callers turn into their own error.
"""

from __future__ import annotations

import re

from .values import (
    NANOS_PER_DAY,
    NANOS_PER_SECOND,
    Instant,
    LocalDate,
    LocalDateTime,
    LocalTime,
)

_DATE = r"([+-]?\d{4,9})-(\d\d)-(\d\d)"
_TIME = r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?"
_OFFSET = r"(?:([Zz])|([+-])(\d\d)(?::?(\d\d)(?::?(\d\d))?)?)(?:\[[^\]]+\])?"
_LOCAL_DATE = re.compile(_DATE)
_LOCAL_TIME = re.compile(_TIME)
_LOCAL_DATE_TIME = re.compile(f"{_DATE}[Tt]{_TIME}")
_OFFSET_DATE_TIME = re.compile(f"{_DATE}[Tt]{_TIME}{_OFFSET}")
_SQL_TIMESTAMP = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2}) +(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,9}))?")

_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def days_of(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 (Hinnant's algorithm: years start in March)."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468


def date_of(days: int) -> tuple[int, int, int]:
    """Year, month and day of a number of days since 1970-01-01."""
    era, rest = divmod(days + 719468, 146097)
    year = (rest - rest // 1460 + rest // 36524 - rest // 146096) // 365
    rest -= 365 * year + year // 4 - year // 100
    month = (5 * rest + 2) // 153
    day = rest - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    return era * 400 + year + (month <= 2), month, day


def month_length(year: int, month: int) -> int:
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _MONTH_DAYS[month - 1] + leap


def add_months(nanos: int, months: int) -> int:
    """Calendar arithmetic on a UTC point in time; the day is cut to the month's length."""
    days, of_day = divmod(nanos, NANOS_PER_DAY)
    year, month, day = date_of(days)
    year, month = divmod(year * 12 + month - 1 + months, 12)
    month += 1
    return days_of(year, month, min(day, month_length(year, month))) * NANOS_PER_DAY + of_day


def _checked_date(year: str, month: str, day: str) -> int:
    numbers = int(year), int(month), int(day)
    if not (1 <= numbers[1] <= 12 and 1 <= numbers[2] <= month_length(numbers[0], numbers[1])):
        raise ValueError("no such date")
    return days_of(*numbers)


def _checked_time(hour: str, minute: str, second: str | None, fraction: str | None) -> int:
    numbers = int(hour), int(minute), int(second or 0)
    if numbers[0] > 23 or numbers[1] > 59 or numbers[2] > 59:
        raise ValueError("no such time of day")
    seconds = numbers[0] * 3600 + numbers[1] * 60 + numbers[2]
    return seconds * NANOS_PER_SECOND + int((fraction or "").ljust(9, "0"))


def _match(pattern: re.Pattern[str], text: str, wanted: str) -> tuple[str, ...]:
    found = pattern.fullmatch(text)
    if found is None or not text.isascii():
        raise ValueError(f"not {wanted}")
    return found.groups()


def parse_date(text: str) -> LocalDate:
    return LocalDate(_checked_date(*_match(_LOCAL_DATE, text, "an ISO date such as 2023-01-31")))


def parse_time(text: str) -> LocalTime:
    return LocalTime(_checked_time(*_match(_LOCAL_TIME, text, "an ISO time such as 10:15:30")))


def parse_date_time(text: str) -> LocalDateTime:
    parts = _match(_LOCAL_DATE_TIME, text, "an ISO date and time such as 2023-01-31T10:15:30")
    return LocalDateTime(_checked_date(*parts[:3]) * NANOS_PER_DAY + _checked_time(*parts[3:7]))


def parse_instant(text: str) -> Instant:
    """An ISO date and time with an offset; ten characters are a date, meaning midnight in UTC."""
    if len(text) == 10:
        return Instant(parse_date(text).epoch_day * NANOS_PER_DAY)
    parts = _match(_OFFSET_DATE_TIME, text, "an ISO date and time with a zone such as 2023-01-31T10:15:30Z")
    nanos = _checked_date(*parts[:3]) * NANOS_PER_DAY + _checked_time(*parts[3:7])
    _, sign, hours, minutes, seconds = parts[7:]
    offset = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    if offset > 18 * 3600:
        raise ValueError("an offset is at most 18 hours")
    return Instant(nanos + (offset if sign == "-" else -offset) * NANOS_PER_SECOND)


def parse_sql_timestamp(text: str) -> int:
    """Nanoseconds since the epoch of `yyyy-mm-dd hh:mm:ss[.f]`, taken as UTC."""
    parts = _match(_SQL_TIMESTAMP, text.strip(), "a timestamp such as 2023-01-31 10:15:30.5")
    return _checked_date(*parts[:3]) * NANOS_PER_DAY + _checked_time(*parts[3:7])


def date_text(epoch_day: int) -> str:
    year, month, day = date_of(epoch_day)
    years = f"{year:04d}" if 0 <= year <= 9999 else f"-{-year:04d}" if year < 0 else f"+{year}"
    return f"{years}-{month:02d}-{day:02d}"


def _fraction_text(nanos: int) -> str:
    """Three, six or nine digits after a point; nothing for a whole second."""
    if not nanos:
        return ""
    digits = f"{nanos:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return "." + digits


def time_text(nano_of_day: int, *, drop_zero_seconds: bool = False) -> str:
    seconds, nanos = divmod(nano_of_day, NANOS_PER_SECOND)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    if drop_zero_seconds and not second and not nanos:
        return f"{hour:02d}:{minute:02d}"
    return f"{hour:02d}:{minute:02d}:{second:02d}{_fraction_text(nanos)}"


def date_time_text(nanos: int, *, drop_zero_seconds: bool = False) -> str:
    days, of_day = divmod(nanos, NANOS_PER_DAY)
    return f"{date_text(days)}T{time_text(of_day, drop_zero_seconds=drop_zero_seconds)}"


def instant_text(nanos: int) -> str:
    return date_time_text(nanos) + "Z"
