"""Tokens to the syntax tree: the grammar of Jakarta Expression Language, by recursive descent.

Called by `compile_expression`. One method per level of precedence, from the loosest (`;`) to the
tightest (suffixes). Every syntax error is an ExpressionError of stage `compile` that says what was
expected and at which column of the user's text.
"""

from __future__ import annotations

from decimal import Decimal
from math import isinf
from typing import NoReturn

from ...errors import ExpressionError, nearest
from .lexer import Token, tokenize
from .library import FUNCTIONS
from .nodes import (
    Assign,
    Binary,
    Call,
    Choice,
    Composite,
    Constant,
    Entries,
    Invoke,
    Items,
    Lambda,
    Member,
    MethodCall,
    Name,
    Node,
    Sequence,
    Unary,
)
from .values import MAX_LONG, BigInteger, Long

# Words of the Java language cannot follow a dot.
_KEYWORDS = frozenset(
    """abstract assert boolean break byte case catch char class const continue default do double else
    enum extends final finally float for goto if implements import instanceof int interface long native
    new package private protected public return short static strictfp super switch synchronized this
    throw throws transient try void volatile while true false null""".split()  # noqa: SIM905
)
_PRECEDENCE = {
    operator: level
    for level, operators in enumerate(("||", "&&", "== !=", "< > <= >=", "+=", "+ -", "* / %"))
    for operator in operators.split()
}
_CONSTANTS = {"true": True, "false": False, "null": None}
_WRAPPING = 2  # characters of `${` before the user's text
_DEEPEST = 50
_LONGEST_NUMBER = 1000


def parse(text: str) -> Node:
    """The tree of an expression written without `${}`. Raises ExpressionError."""
    return _Parser(text).composite()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize("${" + text + "}")
        self.index = 0
        self.rooted = False
        self.depth = 0

    # --- tokens ---

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    @property
    def column(self) -> int:
        return self.token.at - _WRAPPING + 1

    def peek(self, symbol: str, ahead: int = 0) -> bool:
        place = min(self.index + ahead, len(self.tokens) - 1)
        return self.tokens[place].kind == "symbol" and self.tokens[place].text == symbol

    def is_word(self, ahead: int = 0) -> bool:
        return self.tokens[min(self.index + ahead, len(self.tokens) - 1)].kind == "word"

    def accept(self, symbol: str) -> bool:
        found = self.peek(symbol)
        self.index += found
        return found

    def expect(self, symbol: str, wanted: str = "") -> None:
        if not self.accept(symbol):
            self.fail(wanted or f"'{symbol}'")

    def word(self, wanted: str) -> str:
        if not self.is_word():
            self.fail(wanted)
        self.index += 1
        return self.tokens[self.index - 1].text

    def fail(self, wanted: str) -> NoReturn:
        token = self.token
        at_end = token.kind == "end" or token.at >= len(self.text) + _WRAPPING
        found = "the end" if at_end else f"'{token.text}'"
        if token.kind == "illegal" and token.text in "'\"":
            found = "text without closing quote, or with a backslash before another sign than \\ \" '"
        self.error(f"expected {wanted}, found {found}")

    def error(self, message: str, column: int | None = None) -> NoReturn:
        column = max(1, min(self.column if column is None else column, len(self.text) + 1))
        raise ExpressionError(
            f"{message} at column {column} of the expression '{self.text}'",
            expression=self.text,
            stage="compile",
            column=column,
        )

    # --- grammar ---

    def composite(self) -> Node:
        parts: list[Node] = []
        while self.token.kind != "end":
            token = self.token
            self.index += 1
            if token.kind == "literal":
                parts.append(Constant(token.text))
            else:
                parts.append(self.sequence())
                self.expect("}", "an operator or the end")
        return parts[0] if len(parts) == 1 else Composite(tuple(parts))

    def sequence(self) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            self.error(f"expected at most {_DEEPEST} levels of nesting, found more")
        node = self.assignment()
        while self.accept(";"):
            node = Sequence(node, self.assignment())
        self.depth -= 1
        return node

    def assignment(self) -> Node:
        if self.at_lambda():
            return self.lambda_()
        node = self.choice()
        at = self.column
        if self.accept("="):
            return Assign(node, self.assignment(), at)
        return node

    def at_lambda(self, start: int = 0) -> bool:
        """Does `x ->`, `() ->` or `(x, y) ->` stand `start` tokens ahead?"""
        if self.is_word(start):
            return self.peek("->", start + 1)
        if not self.peek("(", start):
            return False
        start += 1
        while self.is_word(start) or self.peek(",", start):
            start += 1
        return self.peek(")", start) and self.peek("->", start + 1)

    def lambda_(self) -> Lambda:
        parameters: list[str] = []
        if self.accept("("):
            while not self.accept(")"):
                if parameters:
                    self.expect(",")
                parameters.append(self.word("a parameter's name"))
        else:
            parameters.append(self.word("a parameter's name"))
        self.expect("->")
        self.rooted = True
        return Lambda(tuple(parameters), self.lambda_() if self.at_lambda() else self.choice())

    def choice(self) -> Node:
        node = self.binary(0)
        while self.peek("?"):
            at = self.column
            self.index += 1
            positive = self.choice()
            self.expect(":", "':' of the conditional")
            node = Choice(node, positive, self.choice(), at)
        return node

    def binary(self, loosest: int) -> Node:
        """Operators at least as tight as the level `loosest`, from left to right."""
        node = self.unary()
        while True:
            operator, at = self.token.text, self.column
            level = _PRECEDENCE.get(operator, -1) if self.token.kind == "symbol" else -1
            if level < loosest:
                return node
            self.index += 1
            node = Binary(operator, node, self.binary(level + 1), at)

    def unary(self) -> Node:
        prefixes: list[tuple[str, int]] = []
        while self.token.kind == "symbol" and self.token.text in ("-", "!", "empty"):
            prefixes.append((self.token.text, self.column))
            self.index += 1
        node = self.value()
        for operator, at in reversed(prefixes):
            node = Unary(operator, node, at)
        return node

    def value(self) -> Node:
        node = self.prefix()
        while True:
            at = self.column
            if self.accept("."):
                key: Node = Constant(self.property_name())
            elif self.accept("["):
                key = self.sequence()
                self.expect("]")
            else:
                return node
            if self.peek("("):
                self.arguments()
                node = MethodCall(node, at)
            else:
                node = Member(node, key, self.rooted, at)

    def property_name(self) -> str:
        if self.is_word() and self.token.text not in _KEYWORDS:
            return self.word("")
        if self.token.kind in ("word", "symbol") and self.token.text.isalpha():
            self.error(f"expected a name after '.', found the reserved word '{self.token.text}'; "
                       f"write ['{self.token.text}']")  # fmt: skip
        self.fail("a name after '.'")

    def prefix(self) -> Node:
        token = self.token
        if token.kind == "symbol":
            return self.bracketed(token)
        if token.kind not in ("integer", "float", "string", "word"):
            self.fail("a value")
        if token.kind == "word":
            return self.name_or_call()
        self.index += 1
        if token.kind == "string":
            return Constant(token.text)
        if len(token.text) > _LONGEST_NUMBER:
            self.error(f"expected a number of at most {_LONGEST_NUMBER} digits", token.at - _WRAPPING + 1)
        return Constant(_integer(token.text) if token.kind == "integer" else _floating(token.text))

    def bracketed(self, token: Token) -> Node:
        at = self.column
        if token.text in _CONSTANTS:
            self.index += 1
            return Constant(_CONSTANTS[token.text])
        if self.peek("(") and self.at_lambda(1):
            return self.invocation(at)
        if self.accept("("):
            node = self.sequence()
            self.expect(")")
            return node
        if self.accept("["):
            return Items(self.items("]"), is_set=False)
        if self.accept("{"):
            return self.braced()
        self.fail("a value")

    def items(self, closing: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self.accept(closing):
            if found:
                self.expect(",", f"',' or '{closing}'")
            found.append(self.sequence())
        return tuple(found)

    def braced(self) -> Node:
        """A set `{a, b}` (also when empty) or a map `{k: v}`."""
        if self.accept("}"):
            return Items((), is_set=True)
        first = self.sequence()
        if not self.accept(":"):
            rest: tuple[Node, ...] = ()
            if not self.accept("}"):
                self.expect(",", "',', ':' or '}'")
                if self.peek("}"):
                    self.fail("a value")
                rest = self.items("}")
            return Items((first, *rest), is_set=True)
        entries = [(first, self.sequence())]
        while not self.accept("}"):
            self.expect(",", "',' or '}'")
            key = self.sequence()
            self.expect(":")
            entries.append((key, self.sequence()))
        return Entries(tuple(entries))

    def invocation(self, at: int) -> Node:
        self.expect("(")
        function = self.lambda_()
        self.expect(")")
        return Invoke(function, self.argument_sets(), at)

    def argument_sets(self) -> tuple[tuple[Node, ...], ...]:
        found: list[tuple[Node, ...]] = []
        while self.peek("("):
            found.append(self.arguments())
        return tuple(found)

    def arguments(self) -> tuple[Node, ...]:
        self.expect("(")
        return self.items(")")

    def name_or_call(self) -> Node:
        at = self.column
        if self.peek(":", 1) and self.is_word(2) and self.peek("(", 3):
            prefix = self.word("")
            self.index += 1
            return self.library_call(prefix, self.word(""), at)
        name = self.word("a name")
        if self.peek("("):
            return Call("", name, self.argument_sets(), at)
        self.rooted = True
        return Name(name, at)

    def library_call(self, prefix: str, name: str, at: int) -> Node:
        found = FUNCTIONS.get(name) if prefix == "fn" else None
        if found is None:
            guess = nearest(name, FUNCTIONS)
            hint = f"; did you mean fn:{guess}?" if guess else ""
            self.error(f"there is no function {prefix}:{name}{hint}", at)
        sets = self.argument_sets()
        if len(sets) != 1:
            self.error(f"fn:{name} takes one pair of parentheses", at)
        if not found.variadic and len(sets[0]) != found.parameters:
            self.error(f"fn:{name} takes {found.parameters} arguments, found {len(sets[0])}", at)
        return Call(prefix, name, sets, at)


def _integer(text: str) -> int:
    number = int(text)
    return Long(number) if number <= MAX_LONG else BigInteger(number)


def _floating(text: str) -> float | Decimal:
    number = float(text)
    return Decimal(text) if isinf(number) else number
