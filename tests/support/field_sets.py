"""Who owns which field: the rules of Kubernetes' server-side apply, for `api_server.py`.

A stand-in, written from the published rules: a manager owns the leaves that it applied; another's leaf
with another value is a conflict; a leaf that its only owner no longer applies goes. Lists are whole
values, but for those that Kubernetes merges by a key.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]
Key = tuple[tuple[str, Any], ...]
Path = tuple["str | Key", ...]
Managers = dict[tuple[str, str], frozenset[Path]]  # (manager, operation) -> the leaves that it owns

_POD = {"volumes": ("name",), "imagePullSecrets": ("name",)}
_CONTAINERS = {"containers": ("name",), "env": ("name",), "volumeMounts": ("mountPath",)}
_SERVERS = ("managedFields", "uid", "resourceVersion", "creationTimestamp", "generation", "name", "namespace")


def keyed_lists(kind: str) -> dict[str, tuple[str, ...]]:
    """In Knative's schemas the list of containers is one value; in Kubernetes' own it is not."""
    return _POD if kind in ("Service", "Revision", "Configuration") else {**_POD, **_CONTAINERS}


class Conflicts(Exception):
    """Fields that others own: (manager, path as text)."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        self.found = found
        super().__init__(str(found))


def leaves(found: Object, *, status: bool = False) -> frozenset[Path]:
    """The leaves of an object that can be owned; those of `status` have a door of their own."""
    body = {key: value for key, value in found.items() if key not in ("apiVersion", "kind", "metadata")}
    body = {key: value for key, value in body.items() if (key == "status") is status}
    if not status:
        meta = found.get("metadata", {})
        body["metadata"] = {key: value for key, value in meta.items() if key not in _SERVERS}
    return frozenset(path for path in _walk(body, keyed_lists(found["kind"]), ()) if path != ("metadata",))


def _walk(value: Any, keyed: dict[str, tuple[str, ...]], path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _walk(item, keyed, (*path, key))
    elif isinstance(value, list) and value and (keys := keyed.get(str(path[-1]))):
        for item in value:
            place = (*path, _key(item, keys))
            yield place
            yield from _walk(item, keyed, place)
    elif path:
        yield path


def _key(item: Object, keys: tuple[str, ...]) -> Key:
    return tuple((key, item.get(key)) for key in keys)


def apply(
    live: Object | None, managers: Managers, desired: Object, manager: str, *, force: bool
) -> tuple[Object, Managers]:
    """What becomes of an object when a manager applies. Raises Conflicts."""
    mine = (manager, "Apply")
    wanted = leaves(desired)
    before = copy.deepcopy(live) if live is not None else {}
    others = {who: set(owned) for who, owned in managers.items() if who != mine}
    differing = {path for path in wanted if look_up(before, path) != look_up(desired, path)}
    found = [
        (who[0], as_text(path))
        for who, owned in others.items()
        for path in sorted(owned & differing, key=str)
    ]
    if found and not force:
        raise Conflicts(found)
    for owned in others.values():
        owned -= differing
    kept = {path for owned in others.values() for path in owned}
    for path in sorted(managers.get(mine, frozenset()) - wanted, key=len, reverse=True):
        if not any(other[: len(path)] == path for other in kept | wanted):
            _remove(before, path)
    result = _merge(before, copy.deepcopy(desired), keyed_lists(desired["kind"]), "")
    return result, {**{who: frozenset(owned) for who, owned in others.items() if owned}, mine: wanted}


def update(
    live: Object, managers: Managers, result: Object, manager: str, *, status: bool = False
) -> Managers:
    """Ownership after any other kind of write: whoever changed a field has it."""
    mine = (manager, "Update")
    before, after = leaves(live, status=status), leaves(result, status=status)
    changed = {path for path in after if look_up(live, path) != look_up(result, path)}
    gone = before - after
    found = {who: owned - changed - gone for who, owned in managers.items()}
    found[mine] = found.get(mine, frozenset()) | changed
    return {who: owned for who, owned in found.items() if owned}


def look_up(found: Any, path: Path) -> Any:
    """The value at a path; `_look_up` itself where there is none (it equals nothing)."""
    for step in path:
        if isinstance(step, tuple):
            if not isinstance(found, list):
                return None
            found = next((item for item in found if _key(item, tuple(key for key, _ in step)) == step), None)
            if found is not None and step is path[-1]:
                return True  # the entry's being there; its fields are leaves of their own
        elif not isinstance(found, dict):
            return None
        else:
            found = found.get(step)
    return found


def _remove(found: Any, path: Path) -> None:
    """Takes a leaf away, and with it what it leaves empty."""
    step, rest = path[0], path[1:]
    if isinstance(step, tuple):
        at = next(
            (i for i, item in enumerate(found) if _key(item, tuple(key for key, _ in step)) == step), None
        )
        if at is not None and not rest:
            found.pop(at)
        elif at is not None:
            _remove(found[at], rest)
    elif isinstance(found, dict) and step in found:
        if rest:
            _remove(found[step], rest)
        if not rest or found[step] in ({}, []):
            found.pop(step)


def _merge(live: Any, desired: Any, keyed: dict[str, tuple[str, ...]], name: str) -> Any:
    if isinstance(live, dict) and isinstance(desired, dict):
        for key, value in desired.items():
            live[key] = _merge(live.get(key), value, keyed, key)
        return live
    if isinstance(live, list) and isinstance(desired, list) and (keys := keyed.get(name)):
        found = {_key(item, keys): item for item in live}
        for item in desired:
            found[_key(item, keys)] = _merge(found.get(_key(item, keys)), item, keyed, "")
        return list(found.values())
    return desired


def as_text(path: Path) -> str:
    """As Kubernetes names a field: .spec.volumes[name="x"].emptyDir"""
    return "".join(
        "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in step) + "]"
        if isinstance(step, tuple)
        else f".{step}"
        for step in path
    )


def managed_fields(found: Object, managers: Managers) -> list[Object]:
    """metadata.managedFields, as everybody reads it."""
    return [
        {
            "manager": manager,
            "operation": operation,
            "apiVersion": found["apiVersion"],
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": _nested(owned),
        }
        for (manager, operation), owned in sorted(managers.items())
    ]


def _nested(owned: frozenset[Path]) -> Object:
    found: Object = {}
    for path in sorted(owned, key=str):
        place = found
        for step in path:
            mark = f"k:{json.dumps(dict(step))}" if isinstance(step, tuple) else f"f:{step}"
            place = place.setdefault(mark, {})
    return found
