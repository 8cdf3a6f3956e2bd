"""Compiled expressions, and how the agents use them.

`compile_expression` parses once and remembers; an Expression is then evaluated per record: untyped
(`evaluate`), as a typed value (`evaluate_as`), or as an agent's condition (`test`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from ...errors import ExpressionError, RecordError
from .comparison import truth
from .compiler import VARIABLES, Closure, Compiler, Scope, UnresolvedProperty
from .conversions import convert
from .nodes import Assign, Node
from .parser import parse
from .values import Value, kind_of

# What `fn:filter` predicates see beside `record`: the whole message, or nothing else.
FilterScope = Literal["message", "record"]


def empty_scope() -> Scope:
    """All variables of a message, null."""
    return dict.fromkeys(VARIABLES)


class Expression(Struct, frozen=True):
    """`assigns`: the expression stores into names or members, so it runs on a copy of the scope."""

    text: str
    run: Closure
    assigns: bool

    def evaluate(self, scope: Scope) -> Value:
        """The value. Raises ExpressionError."""
        try:
            return self.run(copy.deepcopy(scope) if self.assigns else scope)
        except ExpressionError:
            raise
        except RecordError as error:
            raise self.failed(error.message) from error
        except RecursionError:
            raise self.failed("the expression calls itself without end") from None

    def evaluate_as(self, scope: Scope, target: str) -> Value:
        """The value as a type of the conversion table, or as "list"; null stays null."""
        value = self.evaluate(scope)
        if target == "list":
            if value is None or isinstance(value, list | tuple):
                return value
            raise self.failed(f"it gave a value of kind {kind_of(value)}, a list is needed")
        try:
            return convert(value, target)
        except RecordError as error:
            raise self.failed(error.message) from error

    def test(self, scope: Scope) -> bool:
        """Does the condition hold? What does not exist, and null, count as false."""
        try:
            value = self.evaluate(scope)
        except UnresolvedProperty:
            return False
        return value is not None and self.truth(value)

    def truth(self, value: Value) -> bool:
        try:
            return truth(value)
        except RecordError as error:
            raise self.failed(error.message) from error

    def failed(self, message: str) -> ExpressionError:
        return ExpressionError(f"the expression '{self.text}' fails: {message}", expression=self.text)


@lru_cache(maxsize=2048)
def compile_expression(
    text: str, *, filters_see: FilterScope = "record", condition: bool = False
) -> Expression:
    """Raises ExpressionError of stage `compile`. `condition` is for `when`: null counts as false."""
    try:
        tree = parse(text)
        compiler = Compiler(text, condition, _predicate_maker(filters_see))
        return Expression(text, compiler.compile(tree), _assigns(tree))
    except RecursionError:
        raise ExpressionError(
            f"the expression '{text[:60]}…' is too long", expression=text, stage="compile"
        ) from None


def _predicate_maker(filters_see: FilterScope) -> Callable[[str, Scope], Callable[[Value], bool]]:
    def make(text: str, scope: Scope) -> Callable[[Value], bool]:
        predicate = compile_expression(text, filters_see=filters_see)
        outer = dict(scope) if filters_see == "message" else empty_scope()

        def accepts(item: Value) -> bool:
            try:
                return predicate.truth(predicate.evaluate({**outer, "record": item}))
            except UnresolvedProperty:
                return False

        return accepts

    return make


def _assigns(tree: Node) -> bool:
    if isinstance(tree, Assign):
        return True
    return any(_assigns(child) for child in _children(tree))


def _children(tree: object) -> list[Node]:
    found: list[Node] = []
    for name in getattr(tree, "__struct_fields__", ()):
        pending = [getattr(tree, name)]
        while pending:
            item = pending.pop()
            if isinstance(item, tuple):
                pending.extend(item)
            elif isinstance(item, Node):
                found.append(item)
    return found
