"""Reads one mapping of a file key by key, as LangStream's strict mapping does.

Used by every part of the loader. Unknown keys, missing keys and wrong kinds become problems at the
key or value; scalars convert leniently ("20" is a number, 20 is text). A null counts as absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from ..errors import Position
from .problems import Problems, did_you_mean, listed
from .yaml import Node, plain

Choice = TypeVar("Choice", bound=str)


class Reader:
    """The keys of one mapping. `what` names the thing in messages."""

    def __init__(
        self,
        node: Node | None,
        what: str,
        known: Sequence[str],
        problems: Problems,
        *,
        at: Position,
        opaque: bool = False,
    ) -> None:
        self.node, self.what, self.known = node, what, known
        self.problems, self.opaque = problems, opaque
        self.at = node.at if node else at
        if node and node.value is not None and not isinstance(node.value, dict):
            problems.add(f"{what} must be a mapping", node.at, why=f"this is {node.kind}")
        self._refuse_unknown()

    def _refuse_unknown(self) -> None:
        for key, at in (self.node.keys if self.node else {}).items():
            if key not in self.known:
                shown = "unknown key" if self.opaque else f"unknown key '{key}'"
                self.problems.add(
                    f"{shown} in {self.what}",
                    at,
                    why=f"it knows {listed(self.known)}",
                    hint=None if self.opaque else did_you_mean(key, self.known),
                )

    def get(self, *keys: str) -> Node | None:
        """The value of a key, or of the other spelling of it; both at once is a problem."""
        entries = self.node.entries if self.node else {}
        found = [entries[key] for key in keys if key in entries and entries[key].value is not None]
        if len(found) > 1:
            self.problems.add(f"{self.what} has both '{keys[0]}' and '{keys[1]}'", found[1].at)
        return found[0] if found else None

    def required(self, key: str, message: str | None = None) -> Node | None:
        found = self.get(key)
        if found is None:
            self.problems.add(message or f"{self.what} needs '{key}'", self.at)
        return found

    def scalar(self, *keys: str) -> Node | None:
        """The value of a key that holds text, with its position."""
        return self.checked_scalar(keys[0], self.get(*keys))

    def checked_scalar(self, key: str, found: Node | None) -> Node | None:
        if found is not None and isinstance(found.value, dict | tuple):
            self.problems.add(f"'{key}' of {self.what} must be text", found.at, why=f"this is {found.kind}")
            return None
        return found

    def text(self, *keys: str) -> str | None:
        found = self.scalar(*keys)
        return found.raw if found else None

    def required_text(self, key: str, message: str | None = None) -> str | None:
        found = self.checked_scalar(key, self.required(key, message))
        return found.raw if found else None

    def integer(self, key: str, *, least: int | None = None) -> int | None:
        found = self.scalar(key)
        if found is None:
            return None
        try:
            number = int(found.raw.replace("_", ""))
        except ValueError:
            self._not_a(key, found, "a whole number")
            return None
        if least is not None and number < least:
            self.problems.add(f"'{key}' of {self.what} must be at least {least}", found.at)
            return None
        return number

    def number(self, key: str) -> float | None:
        found = self.scalar(key)
        try:
            return float(found.raw) if found else None
        except ValueError:
            self._not_a(key, found, "a number")
            return None

    def boolean(self, key: str) -> bool | None:
        found = self.scalar(key)
        if found is None or isinstance(found.value, bool):
            return found.value if found else None  # type: ignore[return-value]
        if found.raw.lower() in ("true", "false"):
            return found.raw.lower() == "true"
        self._not_a(key, found, "true or false")
        return None

    def choice(self, key: str, options: Sequence[Choice], message: str | None = None) -> Choice | None:
        """One of a few words, exactly as written. `message` may hold {value}."""
        found = self.scalar(key)
        for option in options:
            if found and found.raw == option:
                return option
        if found:
            stated = (
                message.format(value=found.raw)
                if message
                else f"'{key}' of {self.what} cannot be '{found.raw}'"
            )
            why = f"it is one of {listed(options)}"
            self.problems.add(stated, found.at, why=why, hint=did_you_mean(found.raw, options))
        return None

    def mapping(self, key: str, *other: str) -> Node | None:
        found = self.get(key, *other)
        if found and not isinstance(found.value, dict):
            self.problems.add(
                f"'{key}' of {self.what} must be a mapping", found.at, why=f"this is {found.kind}"
            )
            return None
        return found

    def plain_mapping(self, key: str) -> dict[str, Any]:
        return plain(self.mapping(key)) or {}

    def list(self, key: str) -> tuple[Node, ...]:
        found = self.get(key)
        if found and not isinstance(found.value, tuple):
            self.problems.add(f"'{key}' of {self.what} must be a list", found.at, why=f"this is {found.kind}")
        return found.items if found else ()

    def _not_a(self, key: str, found: Node | None, wanted: str) -> None:
        if found is None:
            return
        hint = "placeholders are not resolved here" if "${" in found.raw else None
        self.problems.add(f"'{key}' of {self.what} must be {wanted}", found.at, hint=hint)
