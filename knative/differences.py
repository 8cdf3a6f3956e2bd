"""What would change in an object, as lines for a person; nothing secret is in them.

Called by `apply.py` with an object as it is and as the cluster says it would become, so defaults that
webhooks fill in are on both sides. Texts are compared by line: a prompt is one line of its ConfigMap.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any

from ..application.yaml import SENSITIVE
from .objects import Object

HIDDEN = "***"
# What the server writes by itself, and what says nothing about the application.
_SERVERS = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "name", "selfLink")
_NOTED = ("serving.knative.dev/creator", "serving.knative.dev/lastModifier")

Path = tuple[str, ...]


def compare(before: Object, after: Object) -> tuple[str, ...]:
    """One line or more for each field that differs; empty when nothing does."""
    old, new = dict(_fields(_own(before), ())), dict(_fields(_own(after), ()))
    secret = after.get("kind") == "Secret"
    lines: list[str] = []
    for path in [*old, *(path for path in new if path not in old)]:
        if old.get(path) != new.get(path):
            lines += _changed(path, old.get(path), new.get(path), hidden=secret)
    return tuple(lines)


def _own(found: Object) -> Object:
    meta = {key: value for key, value in found.get("metadata", {}).items() if key not in _SERVERS}
    notes = {key: value for key, value in meta.get("annotations", {}).items() if key not in _NOTED}
    body = {key: value for key, value in found.items() if key not in ("status", "apiVersion", "kind")}
    return {**body, "metadata": {**meta, "annotations": notes}}


def _fields(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """The leaves of an object; entries of a list are found by name where they have one."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _fields(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            name = item.get("name", index) if isinstance(item, dict) else index
            yield from _fields(item, (*path[:-1], f"{path[-1]}[{name}]"))
    else:
        yield path, value


def _changed(path: Path, old: Any, new: Any, *, hidden: bool) -> list[str]:
    where = ".".join(path)
    if hidden and path[0] in ("data", "stringData"):
        return [f"{where}: changed" if old and new else f"{where}: {'added' if new else 'removed'}"]
    old, new = _masked(old, path[-1]), _masked(new, path[-1])
    if "\n" in f"{old}{new}":
        return [f"{where}:", *(f"  {line}" for line in _text(old or "", new or ""))]
    if old == new:
        return [f"{where}: changed ({HIDDEN})"]
    if old is None or new is None:
        return [f"{where}: {'+' if old is None else '-'} {_short(new if old is None else old)}"]
    return [f"{where}: {_short(old)} → {_short(new)}"]


def _text(old: str, new: str) -> Iterator[str]:
    if old == new:
        yield f"changed ({HIDDEN})"
    for line in difflib.ndiff(old.splitlines(), new.splitlines()):
        if line[0] in "+-":
            yield line


def _masked(value: Any, name: str) -> Any:
    """Without literal values of what sounds secret, inside JSON too."""
    if not isinstance(value, str):
        return value
    if value.startswith("{"):
        try:
            return json.dumps(_without(json.loads(value), ""), indent=1, ensure_ascii=False)
        except ValueError:
            return value
    return _without(value, name)


def _without(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_without(item, name) for item in value]
    literal = isinstance(value, str) and value and "${" not in value
    return HIDDEN if literal and SENSITIVE.search(name) else value


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
