"""The syntax tree of an expression: plain frozen values, built by the parser, read by the compiler.

`at` is the column in the user's text, counted from 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Constant:
    value: Any


@dataclass(frozen=True, slots=True)
class Name:
    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Member:
    """`base.name` or `base[key]`. `rooted`: some name precedes it, so a null base reads as null."""

    base: Node
    key: Node
    rooted: bool
    at: int


@dataclass(frozen=True, slots=True)
class MethodCall:
    """`base.name(…)`: never runs; on a null base it gives null."""

    base: Node
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """`fn:name(…)`, or without prefix a lambda held by a name. One entry of `arguments` per pair of
    parentheses."""

    prefix: str
    name: str
    arguments: tuple[tuple[Node, ...], ...]
    at: int


@dataclass(frozen=True, slots=True)
class Lambda:
    parameters: tuple[str, ...]
    body: Node


@dataclass(frozen=True, slots=True)
class Invoke:
    """A lambda in parentheses; with no arguments at all it runs at once if it takes none."""

    function: Lambda
    arguments: tuple[tuple[Node, ...], ...]
    at: int


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str  # - ! empty
    operand: Node
    at: int


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Node
    right: Node
    at: int


@dataclass(frozen=True, slots=True)
class Choice:
    condition: Node
    positive: Node
    negative: Node
    at: int


@dataclass(frozen=True, slots=True)
class Assign:
    target: Node
    value: Node
    at: int


@dataclass(frozen=True, slots=True)
class Sequence:
    first: Node
    last: Node


@dataclass(frozen=True, slots=True)
class Items:
    """A list or set literal."""

    items: tuple[Node, ...]
    is_set: bool


@dataclass(frozen=True, slots=True)
class Entries:
    """A map literal."""

    entries: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True)
class Composite:
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
