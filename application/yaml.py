"""YAML files as values with positions.

Called by the loader for every file. Duplicate keys, several documents and unknown tags are
problems with file, line and column. Scalars are read as LangStream reads them: only true and false
are booleans, dates and `12:30` stay text. The text of a line is kept for the caret, except in files
that hold secrets; behind keys such as `password` it is masked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import yaml

from ..errors import Position
from .problems import Problems

Scalar: TypeAlias = str | int | float | bool | None

# More nodes than a person writes: only aliases that multiply each other get here.
_MOST_NODES = 100_000

SENSITIVE = re.compile(
    r"(pass(word|wd)?|secret|token|(access|api|private|secret|account)[-_]?key|credentials?"
    r"|jaas\.config|connection-string|serviceAccountJson|secureBundle)$",
    re.IGNORECASE,
)
_ENTRY = re.compile(
    r"""(?P<key>["']?(?P<name>[\w.\-]+)["']?\s*:\s+)"""
    r"""(?P<value>"[^"]*"|'[^']*'|(\$\{[^}]*\}|[^,{}\[\]#])+|[\[{].*)"""
)

# A key at the end of a line: its value stands on the lines below.
_LAST_KEY = re.compile(r"""(?P<name>[\w.\-]+)["']?\s*:(\s+[|>][-+]?)?\s*$""")


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a file and where it stands. `raw` is a scalar as written, `keys` says where a
    mapping's keys stand."""

    value: Scalar | tuple[Node, ...] | dict[str, Node]
    at: Position
    raw: str = ""
    keys: Mapping[str, Position] = field(default_factory=dict)

    @property
    def entries(self) -> dict[str, Node]:
        """The entries of a mapping; none for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> tuple[Node, ...]:
        """The items of a list; none for anything else."""
        return self.value if isinstance(self.value, tuple) else ()

    @property
    def kind(self) -> str:
        """What a person calls this kind of value."""
        names = {dict: "a mapping", tuple: "a list", str: "text", bool: "a boolean", type(None): "nothing"}
        return names.get(type(self.value), "a number")


def plain(node: Node | None) -> Any:
    """The value without its positions."""
    if node is None:
        return None
    if isinstance(node.value, dict):
        return {key: plain(item) for key, item in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain(item) for item in node.value]
    return node.value


def read_yaml(text: str, file: str, problems: Problems, *, opaque: bool = False) -> Node | None:
    """The only document of `text`, or None when it is empty or wrong (then problems say so).

    `opaque`: the file holds secrets, no part of its content may appear in a message.
    """
    builder = _Builder(text, file, problems, opaque)
    try:
        documents = list(yaml.compose_all(text, _Loader))
    except yaml.MarkedYAMLError as error:
        builder.syntax(error)
    except yaml.YAMLError as error:
        line = text.encode()[: getattr(error, "position", 0)].count(b"\n")
        problems.add(
            f"{builder.name} is not valid YAML: a character that YAML forbids", builder.position(line, 0)
        )
    else:
        return builder.document(documents)
    return None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Composes nodes only; plain scalars get a tag by the rules of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9_]*)|0x[0-9a-fA-F]+|0o[0-7]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|(0|[1-9][0-9_]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


class _Builder:
    def __init__(self, text: str, file: str, problems: Problems, opaque: bool) -> None:
        self.file, self.name = file, file.rpartition("/")[2]
        self.problems, self.opaque = problems, opaque
        self.lines = [] if opaque else text.splitlines()
        self.shown: dict[int, str] = {}
        self.size = 0
        self.hidden = 0
        self.open: set[int] = set()

    def position(self, line: int, column: int) -> Position:
        if line >= len(self.lines) > 0:  # a file that ends too early: show where it ends
            line, column = len(self.lines) - 1, len(self.lines[-1])
        if self.lines and line not in self.shown:
            self.shown[line] = masked(self.lines[line])
        return Position(self.file, line + 1, column + 1, self.shown.get(line, ""))

    def at(self, node: yaml.Node) -> Position:
        mark = node.start_mark
        if self.hidden:
            return Position(self.file, mark.line + 1, mark.column + 1)
        return self.position(mark.line, mark.column)

    def syntax(self, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        at = self.position(mark.line, mark.column) if mark else Position(self.file)
        if mark and self.below_secret(mark.line):
            at = replace(at, text="")
        # The composer quotes aliases, and in a file of secrets an alias may be half a password.
        shown = None if self.opaque and isinstance(error, yaml.composer.ComposerError) else error.problem
        why = f"{error.context}, from line {error.context_mark.line + 1}" if error.context_mark else None
        self.problems.add(f"{self.name} is not valid YAML" + (f": {shown}" if shown else ""), at, why=why)

    def below_secret(self, line: int) -> bool:
        """Whether a line belongs to the value of the last key above it, and that is a secret."""
        for text in reversed(self.lines[:line]):
            if found := _LAST_KEY.search(text):
                return bool(SENSITIVE.search(found["name"]))
            if ":" in text:
                return False
        return False

    def document(self, documents: list[yaml.Node]) -> Node | None:
        if not documents or documents[0] is None:
            self.problems.add(f"{self.name} is empty", Position(self.file))
            return None
        for extra in documents[1:2]:
            self.problems.add(
                f"{self.name} holds more than one YAML document; only one is read", self.at(extra)
            )
        try:
            return self.node(documents[0])
        except _Endless as error:
            self.problems.add(f"{self.name}: {error}", self.at(documents[0]))
            return None

    def node(self, node: yaml.Node) -> Node:
        self.size += 1
        if id(node) in self.open:
            raise _Endless("an alias refers to the value that holds it")
        if self.size > _MOST_NODES:
            raise _Endless(f"its aliases make more than {_MOST_NODES} values")
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node)
            if isinstance(node, yaml.SequenceNode):
                return Node(tuple(self.node(item) for item in node.value), self.at(node))
            return Node(self.scalar(node), self.at(node), node.value)
        finally:
            self.open.discard(id(node))

    def mapping(self, node: yaml.MappingNode) -> Node:
        values: dict[str, Node] = {}
        keys: dict[str, Position] = {}
        for key, value in node.value:
            at = self.at(key)
            if not isinstance(key, yaml.ScalarNode):
                self.problems.add("a key must be text", at)
            elif key.value in values:
                name = "this key" if self.opaque else f"the key '{key.value}'"
                self.problems.add(f"{name} stands here twice", at, why=f"first at {keys[key.value]}")
            else:
                keys[key.value] = at
                values[key.value] = self.value(key, value)
        return Node(values, self.at(node), keys=keys)

    def value(self, key: yaml.ScalarNode, node: yaml.Node) -> Node:
        """The value of a key. Behind `password:` the lines that follow are not shown."""
        hides = bool(SENSITIVE.search(key.value)) and node.start_mark.line > key.start_mark.line
        self.hidden += hides
        found = self.node(node)
        self.hidden -= hides
        return found

    def scalar(self, node: yaml.Node) -> Scalar:
        text: str = node.value
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        try:
            match tag:
                case "str" | "!":
                    return text
                case "null":
                    return None
                case "bool":
                    return text.lower() == "true"
                case "int":
                    return int(text.replace("_", ""), 0)
                case "float":
                    return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan").lower())
        except ValueError:
            self.problems.add(f"this is not a value of the type !!{tag}", self.at(node))
            return None
        shown = "this YAML tag" if self.opaque else f"the YAML tag '{node.tag}'"
        self.problems.add(f"{shown} is not known", self.at(node), why="an application is plain data")
        return None


class _Endless(Exception):
    pass


def masked(line: str) -> str:
    """A line with the values of passwords, tokens and keys hidden; placeholders stay."""
    start, shown = 0, ""
    while entry := _ENTRY.search(line, start):
        hidden = SENSITIVE.search(entry["name"]) and "${" not in entry["value"]
        # A value that is no secret may hold one: {access-key: …}.
        end = entry.end() if hidden else entry.end("key")
        shown += line[start : entry.start()] + entry["key"] + ("***" if hidden else "")
        start = end
    return shown + line[start:]
