"""Placeholders `${a.b.c}` in configurations: the one place that knows their syntax.

The planner resolves `globals` and `cluster` with it, the host resolves `secrets` inside the pod. A
reference whose root is not in the context stays as text, so each side touches only what is its own.
A value that is one placeholder keeps the type of what it names; inside text it becomes text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import TidemillError

# Older applications write {{secrets.x.y}} or {{{globals.x}}}; all other mustache text belongs to agents.
_PATH = r"%?\s*((?:secrets|globals|cluster)\.[^{}\s]+)\s*"
_LEGACY = re.compile(r"\{\{\{" + _PATH + r"\}\}\}|\{\{" + _PATH + r"\}\}")


class InvalidPlaceholder(TidemillError):
    """`${` without its `}`, or nothing between them."""

    def __init__(self) -> None:
        super().__init__("Invalid placeholder: '${' needs a name and a closing '}'")


class UnresolvedReference(TidemillError):
    """A reference names something that the context does not hold; `known` lists what is there."""

    def __init__(self, reference: str, missing: str, known: tuple[str, ...]) -> None:
        self.reference, self.missing, self.known = reference, missing, known
        super().__init__(f"Cannot resolve reference {reference}")


@dataclass(frozen=True, slots=True)
class Reference:
    """`${a.b.c}`: `path` is (a, b, c)."""

    path: tuple[str, ...]

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def text(self) -> str:
        """The placeholder, without the blanks that it may have been written with."""
        return "${" + self.name + "}"


def modern(text: str) -> str:
    """`text` with the older mustache form of a placeholder written as `${…}`, where that is meant."""
    if "{{" not in text or "${" in text:
        return text
    return _LEGACY.sub(lambda found: "${" + (found[1] or found[2]) + "}", text)


def parts(text: str) -> Iterator[str | Reference]:
    """The plain stretches of a text and its references, in order. Raises InvalidPlaceholder."""
    text, start = modern(text), 0
    while (opening := text.find("${", start)) >= 0:
        closing = text.find("}", opening)
        path = tuple(step.strip() for step in text[opening + 2 : closing].split("."))
        if closing < 0 or not all(path):
            raise InvalidPlaceholder
        if opening > start:
            yield text[start:opening]
        start = closing + 1
        yield Reference(path)
    if start < len(text):
        yield text[start:]


def references(text: str) -> list[Reference]:
    """The references in a text. Raises InvalidPlaceholder."""
    return [part for part in parts(text) if isinstance(part, Reference)]


def is_symbolic(value: object) -> bool:
    """Whether a value is text that still waits for something."""
    return isinstance(value, str) and "${" in value


def resolve(value: Any, context: Mapping[str, Any], *, symbolic: bool = False) -> Any:
    """`value` with its placeholders replaced, in maps and lists too, when their root is in `context`.

    A missing last step gives null; a missing step before it raises UnresolvedReference. With
    `symbolic`, whatever is missing stays as text. One pass: what is put in is not resolved again.
    """
    if isinstance(value, str):
        return _resolve_text(value, context, symbolic)
    if isinstance(value, Mapping):
        return {key: resolve(item, context, symbolic=symbolic) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [resolve(item, context, symbolic=symbolic) for item in value]
    return value


def _resolve_text(text: str, context: Mapping[str, Any], symbolic: bool) -> Any:
    if "${" not in text and "{{" not in text:
        return text
    found = list(parts(text))
    if len(found) == 1:
        return found[0] if isinstance(found[0], str) else _look_up(found[0], context, symbolic)
    return "".join(
        part if isinstance(part, str) else _as_text(_look_up(part, context, symbolic)) for part in found
    )


def _look_up(reference: Reference, context: Mapping[str, Any], symbolic: bool) -> Any:
    if reference.path[0] not in context:
        return reference.text
    scope: Any = context
    for step in reference.path[:-1]:
        scope = scope.get(step) if isinstance(scope, Mapping) else None
        if scope is None and symbolic:
            return reference.text
        if not isinstance(scope, Mapping):
            raise UnresolvedReference(reference.name, step, ())
    leaf = reference.path[-1]
    return reference.text if symbolic and leaf not in scope else scope.get(leaf)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
