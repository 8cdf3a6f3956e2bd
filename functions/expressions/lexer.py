"""Text to tokens, for the expression language.

Called by the parser alone. A composite expression (`${…}` pieces amid literal text) is one token
stream, so the lexer knows whether it stands inside an expression; the agents' expressions are
written without `${}` and wrapped before they come here. Positions count from the wrapped text.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

Kind = Literal["literal", "start", "integer", "float", "string", "word", "symbol", "end", "illegal"]

_LETTER = (
    r"$A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u1fff\u3040-\u318f\u3300-\u337f"
    r"\u3400-\u3d2d\u4e00-\u9fff\uf900-\ufaff"
)
_TOKEN = re.compile(
    rf"""
      (?P<space>[ \t\n\r]+)
    | (?P<float>\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
    | (?P<integer>\d+)
    | (?P<string>"(?:[^"\\]|\\[\\"'])*"|'(?:[^'\\]|\\[\\"'])*')
    | (?P<word>[{_LETTER}][{_LETTER}0-9]*)
    | (?P<symbol>->|\+=|==|!=|<=|>=|&&|\|\||[-+*/%<>=!?:;,.()\[\]{{}}])
    """,
    re.VERBOSE | re.ASCII,
)
_LITERAL = re.compile(r"(?:[^\\$#]|\\.|\\$|[$#](?!\{))+", re.DOTALL)
_ESCAPE = re.compile(r"\\([\\\"'])")
_LITERAL_ESCAPE = re.compile(r"\\([\\\"'$#])")

# Words that are operators or literals, and therefore no names.
OPERATOR_WORDS = {
    "gt": ">",
    "lt": "<",
    "ge": ">=",
    "le": "<=",
    "eq": "==",
    "ne": "!=",
    "not": "!",
    "and": "&&",
    "or": "||",
    "div": "/",
    "mod": "%",
}
RESERVED = frozenset({*OPERATOR_WORDS, "true", "false", "null", "empty", "instanceof"})


class Token(Struct, frozen=True):
    """`text` is the operator, name or number as written, or a string's content."""

    kind: Kind
    text: str
    at: int


def tokenize(source: str) -> list[Token]:
    """The tokens of a composite expression, ended by one of kind `end`."""
    tokens: list[Token] = []
    position = 0
    while position < len(source):
        if source.startswith(("${", "#{"), position):
            tokens.append(Token("start", source[position : position + 2], position))
            position = _expression(source, position + 2, tokens)
        else:
            position = _literal(source, position, tokens)
    tokens.append(Token("end", "", len(source)))
    return tokens


def _literal(source: str, position: int, tokens: list[Token]) -> int:
    found = _LITERAL.match(source, position)
    end = found.end() if found else position + 1
    tokens.append(Token("literal", _LITERAL_ESCAPE.sub(r"\1", source[position:end]), position))
    return end


def _expression(source: str, position: int, tokens: list[Token]) -> int:
    """Tokens up to and with the brace that closes the expression; the position after it."""
    depth = 1
    while position < len(source) and depth:
        found = _TOKEN.match(source, position)
        if found is None:
            tokens.append(Token("illegal", source[position], position))
            return len(source)
        kind, text = found.lastgroup, found.group()
        depth += (text == "{") - (text == "}")
        if kind == "string":
            text = _ESCAPE.sub(r"\1", text[1:-1])
        elif kind == "word" and text in RESERVED:
            kind, text = "symbol", OPERATOR_WORDS.get(text, text)
        if kind != "space":
            tokens.append(Token(kind, text, position))  # type: ignore[arg-type]
        position = found.end()
    return position
