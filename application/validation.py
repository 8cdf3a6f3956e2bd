"""Checks a configuration against its pydantic model and points at the YAML that is wrong.

Used for agents, resources and assets. Only says names and expected types, never a value. What is
still symbolic passes any typed field; a null counts as missing.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..errors import Position
from ..functions.placeholders import is_symbolic
from .problems import Problems, did_you_mean
from .yaml import Node

_TYPES = {
    "int": "integer",
    "float": "number",
    "decimal": "number",
    "bool": "boolean",
    "string": "string",
    "list": "list",
    "tuple": "list",
    "set": "list",
    "dict": "map",
    "mapping": "map",
    "model": "map",
    "dataclass": "map",
    "bytes": "string",
}
Location = Sequence[int | str]


def without_nulls(value: Any) -> Any:
    """A configuration without its null entries, which count as absent."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def check(
    model: type[BaseModel], value: dict[str, Any], node: Node, subject: str, problems: Problems
) -> None:
    """Adds a problem for everything in `value` that `model` refuses; `node` is where it stands.

    `subject` reads like "agent configuration (agent: 'a', type: 't')".
    """
    value = without_nulls(value)
    try:
        model.model_validate(value)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            _report(detail, model, value, node, subject, problems)


def _report(
    detail: ErrorDetails,
    model: type[BaseModel],
    value: dict[str, Any],
    node: Node,
    subject: str,
    problems: Problems,
) -> None:
    location = _real(detail["loc"], value)
    if _waits(location, value):
        return
    name, kind = _name(location), detail["type"]
    found = f"Found error on {subject}."
    if kind == "missing":
        problems.add(f"{found} Property '{name}' is required", _deepest(node, location[:-1]).at)
    elif kind == "extra_forbidden":
        known = _known(model, location[:-1])
        message = (
            f"{found} Property '{name}' is unknown, you may want to try with some of [{', '.join(known)}]"
        )
        at = _key_place(node, location)
        problems.add(message, at, hint=did_you_mean(str(location[-1]), known))
    else:
        problems.add(f"{found} {_wrong(name, detail)}", _deepest(node, location).at)


def _wrong(name: str, detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("literal_error", "enum"):
        return f"Property '{name}' has a wrong value. It is one of: {context.get('expected')}"
    if kind in ("value_error", "assertion_error"):
        reason = str(context.get("error", detail["msg"]))
        return f"Property '{name}': {reason}" if name else reason
    expected = _TYPES.get(kind.split("_")[0])
    if expected and kind.endswith(("_type", "_parsing", "_from_float", "_unicode")):
        return f"Property '{name}' has a wrong data type. Expected type: {expected}"
    return f"Property '{name}': {detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _real(location: Location, value: Any) -> list[int | str]:
    """A location without the names that pydantic puts in for the members of a union."""
    real: list[int | str] = []
    for position, step in enumerate(location):
        last = position + 1 == len(location)
        known = isinstance(value, dict) and step in value
        known = known or (isinstance(value, list) and isinstance(step, int) and step < len(value))
        if known:
            value = value[step]
        if known or (last and isinstance(value, dict) and _is_key(step)):
            real.append(step)
    return real


def _is_key(step: int | str) -> bool:
    return isinstance(step, str) and not step.startswith("function-")


def _waits(location: Location, value: Any) -> bool:
    """Whether the value at a location, or one around it, is still a placeholder."""
    for step in location:
        if is_symbolic(value):
            return True
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return False
    return is_symbolic(value)


def _name(location: Location) -> str:
    name = ""
    for step in location:
        name += f"[{step}]" if isinstance(step, int) else f".{step}" if name else step
    return name


def _deepest(node: Node, location: Location) -> Node:
    """The node at a location, or the closest one around it."""
    for step in location:
        if isinstance(step, str):
            inside = node.entries.get(step)
        else:
            inside = node.items[step] if step < len(node.items) else None
        if inside is None:
            return node
        node = inside
    return node


def _key_place(node: Node, location: Location) -> Position:
    parent = _deepest(node, location[:-1])
    return parent.keys.get(str(location[-1]), parent.at)


def _known(model: type[BaseModel], location: Location) -> list[str]:
    """The keys that the model at a location knows."""
    current: Any = model
    for step in location:
        fields = current.model_fields if current else {}
        names = {field.alias or name: field.annotation for name, field in fields.items()}
        current = current if isinstance(step, int) else _model_in(names.get(step))
    return sorted(field.alias or name for name, field in current.model_fields.items()) if current else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model inside an annotation such as `tuple[Route, ...] | None`."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    inner = (_model_in(part) for part in typing.get_args(annotation))
    return next((found for found in inner if found), None)
