"""The syntax tree of an expression: plain frozen values, built by the parser, read by the compiler.

`at` is the column in the user's text, counted from 1. Structs and not dataclasses, because defining
twenty of those takes longer than all else that a unit imports from here.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Struct


class Constant(Struct, frozen=True):
    value: Any


class Name(Struct, frozen=True):
    name: str
    at: int


class Member(Struct, frozen=True):
    """`base.name` or `base[key]`. `rooted`: some name precedes it, so a null base reads as null."""

    base: Node
    key: Node
    rooted: bool
    at: int


class MethodCall(Struct, frozen=True):
    """`base.name(…)`: never runs; on a null base it gives null."""

    base: Node
    at: int


class Call(Struct, frozen=True):
    """`fn:name(…)`, or without prefix a lambda held by a name. One entry of `arguments` per pair of
    parentheses."""

    prefix: str
    name: str
    arguments: tuple[tuple[Node, ...], ...]
    at: int


class Lambda(Struct, frozen=True):
    parameters: tuple[str, ...]
    body: Node


class Invoke(Struct, frozen=True):
    """A lambda in parentheses; with no arguments at all it runs at once if it takes none."""

    function: Lambda
    arguments: tuple[tuple[Node, ...], ...]
    at: int


class Unary(Struct, frozen=True):
    operator: str  # - ! empty
    operand: Node
    at: int


class Binary(Struct, frozen=True):
    operator: str
    left: Node
    right: Node
    at: int


class Choice(Struct, frozen=True):
    condition: Node
    positive: Node
    negative: Node
    at: int


class Assign(Struct, frozen=True):
    target: Node
    value: Node
    at: int


class Sequence(Struct, frozen=True):
    first: Node
    last: Node


class Items(Struct, frozen=True):
    """A list or set literal."""

    items: tuple[Node, ...]
    is_set: bool


class Entries(Struct, frozen=True):
    """A map literal."""

    entries: tuple[tuple[Node, Node], ...]


class Composite(Struct, frozen=True):
    """Literal text and expressions, joined as text."""

    parts: tuple[Node, ...]


Node: TypeAlias = (
    Constant
    | Name
    | Member
    | MethodCall
    | Call
    | Lambda
    | Invoke
    | Unary
    | Binary
    | Choice
    | Assign
    | Sequence
    | Items
    | Entries
    | Composite
)
