"""`errors` and `resources` of a pipeline or an agent.

Read by `pipelines.py`; inherited field by field in `inheritance.py`. Sizes are bytes, times seconds.
"""

from __future__ import annotations

import re
from typing import get_args

from ..errors import Position
from ..functions.unit import OnFailure
from .model import Disk, Errors, Resources, Scale
from .problems import Problems
from .reading import Reader
from .yaml import Node

_ON_FAILURE: tuple[OnFailure, ...] = get_args(OnFailure)
_SIZE = re.compile(r"(\d+)([kmg]?)b?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+)(s|m|h|)")
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_LONGEST = 3600


def read_errors(node: Node | None, problems: Problems, at: Position) -> Errors:
    if node is None:
        return Errors()
    reader = Reader(node, "errors", ("on-failure", "retries"), problems, at=at)
    on_failure = reader.choice(
        "on-failure",
        _ON_FAILURE,
        "on-failure must be one of 'fail', 'dead-letter' or 'skip' (bad value on-failure: {value})",
    )
    return Errors(on_failure, _retries(reader, problems), node.at)


def _retries(reader: Reader, problems: Problems) -> int | None:
    retries = reader.integer("retries")
    if retries is not None and retries < 0:
        at = (reader.get("retries") or reader).at
        problems.add(f"retries must be a positive integer (bad value retries: {retries})", at)
        return None
    return retries


def read_resources(node: Node | None, problems: Problems, at: Position) -> Resources:
    if node is None:
        return Resources()
    reader = Reader(node, "resources", ("parallelism", "size", "disk", "scale"), problems, at=at)
    return Resources(
        parallelism=reader.integer("parallelism", least=1),
        size=reader.integer("size", least=1),
        disk=_read_disk(reader.mapping("disk"), problems, at),
        scale=_read_scale(reader.mapping("scale"), problems, at),
    )


def _read_disk(node: Node | None, problems: Problems, at: Position) -> Disk:
    if node is None:
        return Disk()
    reader = Reader(node, "disk", ("enabled", "type", "size"), problems, at=at)
    return Disk(reader.boolean("enabled"), reader.text("type"), _disk_size(reader, problems))


def _disk_size(reader: Reader, problems: Problems) -> int | None:
    found = reader.scalar("size")
    if found is None:
        return None
    match = _SIZE.fullmatch(re.sub(r"\s", "", found.raw))
    if match is None:
        why = "a size is a number of bytes, or a number with K, M or G"
        problems.add(f"Invalid disk size string '{found.raw}'", found.at, why=why)
        return None
    return int(match[1]) * _UNITS[match[2].lower()]


_SCALE_KEYS = ("min", "max", "target", "metric", "window", "delay", "concurrency")


def _read_scale(node: Node | None, problems: Problems, at: Position) -> Scale:
    if node is None:
        return Scale()
    reader = Reader(node, "scale", _SCALE_KEYS, problems, at=at)
    return Scale(
        min=reader.integer("min", least=0),
        max=reader.integer("max", least=0),
        target=_target(reader, problems),
        metric=reader.choice("metric", ("concurrency", "rps")),
        window=_duration(reader, "window", 6, problems),
        delay=_duration(reader, "delay", 0, problems),
        concurrency=reader.integer("concurrency", least=0),
        at=node.at,
    )


def _target(reader: Reader, problems: Problems) -> float | None:
    target, found = reader.number("target"), reader.get("target")
    if target is not None and found and not 0 < target < float("inf"):
        problems.add("'target' of scale must be more than 0", found.at)
        return None
    return target


def _duration(reader: Reader, key: str, least: int, problems: Problems) -> int | None:
    found = reader.scalar(key)
    if found is None:
        return None
    match = _DURATION.fullmatch(found.raw.strip())
    seconds = int(match[1]) * _SECONDS[match[2]] if match else -1
    if not least <= seconds <= _LONGEST:
        why = f"Knative takes {least} seconds to 1 hour, written as 90, 90s, 2m or 1h"
        problems.add(f"'{key}' of scale cannot be '{found.raw}'", found.at, why=why)
        return None
    return seconds
