"""Syntax errors say what was expected, and where."""

from __future__ import annotations

import pytest

from tidemill.errors import ExpressionError
from tidemill.functions.expressions import compile_expression


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("", "expected a value, found the end", 1),
        ("value.n +", "expected a value, found the end", 10),
        ("value.", "expected a name after '.'", 7),
        ("value.s.class", "reserved word 'class'; write ['class']", 9),
        ("value.empty", "reserved word 'empty'", 7),
        ("value.eq", "expected a name after '.'", 7),
        ("value s", "expected an operator or the end, found 's'", 7),
        ("value.l.0", "found '.0'", 8),
        ("(1", "expected ')'", 3),
        ("[1,2,3,]", "expected a value, found ']'", 8),
        ("{'a': 1, }", "expected a value", 10),
        ("true ? 1", "expected ':' of the conditional", 9),
        ("5L", "found 'L'", 2),
        ("value.n === 5", "found '='", 11),
        ("@", "found '@'", 1),
        ("'open", "without closing quote", 1),
        ("'\\d+'", "a backslash before another sign", 1),
        ("fn:lenght('a')", "did you mean fn:length?", 1),
        ("fn:split('a')", "fn:split takes 2 arguments, found 1", 1),
        ("str:length('a')", "there is no function str:length", 1),
        ("fn:length", "found ':'", 3),
        ("(" * 60 + "1" + ")" * 60, "levels of nesting", 51),
        ("1" * 2000, "at most 1000 digits", 1),
    ],
)
def test_message_and_column(text: str, message: str, column: int) -> None:
    with pytest.raises(ExpressionError) as raised:
        compile_expression(text)
    assert message in raised.value.message
    assert (raised.value.column, raised.value.stage, raised.value.expression) == (column, "compile", text)


def test_an_endless_chain_of_operators_is_refused_and_not_a_crash() -> None:
    with pytest.raises(ExpressionError, match="too long"):
        compile_expression("+".join(["1"] * 5000))


@pytest.mark.parametrize(
    "text", ["true?1 :2", "true ?1:2", "fn: length('a')", "value.$x", "'${x}'", "你好 = 1; 你好"]
)
def test_allowed_spellings(text: str) -> None:
    compile_expression(text)


def test_one_expression_is_compiled_once() -> None:
    assert compile_expression("value.n + 1") is compile_expression("value.n + 1")
