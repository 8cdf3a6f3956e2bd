"""Durations in the two spellings that Knative reads: ISO 8601 (eventing) and Go's (autoscaling).

Written by `delivery.py` and `render.py`, read by `read.py` and `validate.py`. ISO durations keep to
tenths of a second, since Knative's controller keeps no more than one decimal.
"""

from __future__ import annotations

import re

_ISO = re.compile(r"P(?=.)(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_GO = re.compile(r"(?=.)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def iso(seconds: float) -> str:
    """310 → PT5M10S; 0.1 → PT0.1S. Finer than a tenth is rounded up."""
    tenths = -int(-seconds * 10 // 1)
    hours, rest = divmod(tenths, 36_000)
    minutes, rest = divmod(rest, 600)
    whole, tenth = divmod(rest, 10)
    last = f"{whole}.{tenth}S" if tenth else f"{whole}S" if whole or not (hours or minutes) else ""
    return "PT" + (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "") + last


def from_iso(text: str) -> float:
    """Seconds. Raises ValueError."""
    if not (found := _ISO.fullmatch(text)):
        raise ValueError(f"'{text}' is not an ISO 8601 duration such as PT0.5S")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return days * 86_400 + hours * 3600 + minutes * 60 + seconds


def go(seconds: int) -> str:
    """90 → 90s, as the autoscaling annotations want them: whole seconds."""
    return f"{seconds}s"


def from_go(text: str) -> int:
    """Whole seconds. Raises ValueError."""
    if not (found := _GO.fullmatch(text)):
        raise ValueError(f"'{text}' is not a duration in whole seconds such as 60s")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds
