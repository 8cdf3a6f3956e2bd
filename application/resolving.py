"""Resolves the placeholders of an application for its plan.

Used by every stage of the planner. `globals` and `cluster` are put in, `secrets` stay text (the host
resolves them) and are checked for existence when a secrets file is given. Without an instance, what
is unknown stays symbolic; `strict` refuses that. A missing last step is null, as in LangStream, and
a note; a missing step before it is a problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import Position
from ..functions.placeholders import InvalidPlaceholder, Reference, UnresolvedReference, references, resolve
from .model import Application
from .problems import Problems, did_you_mean, listed
from .yaml import Node, plain

_ROOTS = ("secrets", "globals", "cluster")


class Resolver:
    """The values that an application's placeholders stand for."""

    def __init__(self, application: Application, problems: Problems, *, strict: bool) -> None:
        self._problems, self._strict = problems, strict
        self._instance = instance = application.instance
        self._secrets = application.secrets.values if application.secrets else None
        stated = plain(instance.globals) if instance else None
        self.context: dict[str, Any] = {
            "globals": {**(plain(application.default_globals) or {}), **(stated or {})},
            "cluster": {},
        }
        if instance:
            configuration = plain(instance.configuration) or {}
            self.context["cluster"] = {"type": instance.cluster, "configuration": configuration}

    def value(self, node: Node) -> Any:
        """The plain value of a node, resolved. Faults become problems at the scalar that has them."""
        if isinstance(node.value, dict):
            return {key: self.value(item) for key, item in node.value.items()}
        if isinstance(node.value, tuple):
            return [self.value(item) for item in node.value]
        if not isinstance(node.value, str) or ("${" not in node.value and "{{" not in node.value):
            return node.value
        try:
            for reference in references(node.value):
                self._check(reference, node.at)
            return resolve(node.value, self.context, symbolic=self._instance is None)
        except InvalidPlaceholder as error:
            self._problems.add(error.message, node.at)
        except UnresolvedReference:
            pass  # `_check` has said so
        return node.value

    def text(self, node: Node) -> str:
        """The resolved value of a node that holds a name."""
        value = self.value(node)
        if isinstance(value, dict | list):
            self._problems.add("a name is needed here", node.at, why="this resolves to a list or a mapping")
            return node.raw
        return node.raw if value is node.value else "" if value is None else str(value)

    def globals(self) -> dict[str, Any]:
        """The application's globals: its defaults under those of the instance."""
        resolved: dict[str, Any] = resolve(self.context["globals"], self.context, symbolic=True)
        return resolved

    def _check(self, reference: Reference, at: Position) -> None:
        root = reference.path[0]
        if root not in _ROOTS:
            why = f"a placeholder begins with {listed(_ROOTS)}"
            self._fail(reference, at, why, did_you_mean(root, _ROOTS))
        elif root == "secrets":
            self._check_secret(reference, at)
        else:
            self._check_known(reference, at)

    def _check_secret(self, reference: Reference, at: Position) -> None:
        if self._secrets is None:
            if self._strict:
                self._fail(reference, at, "no secrets file is given", "name it with -s")
            return
        self._look_up(reference, {"secrets": self._secrets}, at)

    def _check_known(self, reference: Reference, at: Position) -> None:
        if self._instance is not None:
            self._look_up(reference, self.context, at)
        elif self._strict and resolve(reference.text, self.context, symbolic=True) == reference.text:
            self._fail(reference, at, "no instance file is given", "name it with -i")

    def _look_up(self, reference: Reference, context: Mapping[str, Any], at: Position) -> None:
        scope: Any = context
        for position, step in enumerate(reference.path):
            known = [str(key) for key in scope] if isinstance(scope, Mapping) else []
            if step not in known:
                why = f"'{'.'.join(reference.path[:position])}' has no '{step}'"
                if reference.path[0] != "secrets":  # in a broken file, what looks like a key may be a value
                    why += f"; it has {listed(sorted(known))}"
                last = position + 1 == len(reference.path) and isinstance(scope, Mapping)
                self._missing(reference, at, why, did_you_mean(step, known), last)
                return
            scope = scope[step]

    def _missing(self, reference: Reference, at: Position, why: str, hint: str | None, last: bool) -> None:
        if last and not self._strict:
            self._problems.note(f"{reference.text} is null: {why}", at, hint=hint)
        else:
            self._fail(reference, at, why, hint)

    def _fail(self, reference: Reference, at: Position, why: str, hint: str | None) -> None:
        self._problems.add(f"Cannot resolve reference {reference.name}", at, why=why, hint=hint)
