"""Results of expressions on one record: values and their kinds."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from tidemill.errors import ExpressionError
from tidemill.functions.expressions import UnresolvedProperty, compile_expression, empty_scope
from tidemill.functions.expressions.values import (
    Byte,
    Float32,
    Instant,
    LocalDate,
    Long,
    SqlTime,
    Timestamp,
    UtilDate,
    kind_of,
)

SCOPE = empty_scope() | {
    "value": {
        "s": "Hello",
        "n": 5,
        "f": 1.5,
        "yes": True,
        "nul": None,
        "l": [1, 2, 3],
        "o": {"x": {"y": 9}},
        "docs": [{"t": "a", "v": 1}, None, {"t": "b", "v": 2}],
        "num": "42",
        "huge": 10**30,
        "dec": Decimal("12.340"),
        "bytes": b"\x01\xff",
        "a-b": 1,
        "empty": "",
        "none": [],
    },
    "key": "k1",
    "properties": {"h1": "v1", "session-id": "S"},
    "topicName": "in",
}


def run(text: str, **options: Any) -> Any:
    return compile_expression(text, **options).evaluate(SCOPE)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        # access
        ("value.o.x.y", "int", 9),
        ("value['a-b']", "int", 1),
        ("value.missing.deep", "null", None),
        ("value.l[1]", "int", 2),
        ("value.l['1']", "int", 2),
        ("value.l[1.9]", "int", 2),
        ("value.l[7]", "null", None),
        ("value.l[-1]", "null", None),
        ("value.l[null]", "null", None),
        ("value.bytes[1]", "byte", -1),
        ("properties['session-id']", "string", "S"),
        # arithmetic
        ("value.n + 1", "long", 6),
        ("value.n / 2", "double", 2.5),
        ("7 / 7", "double", 1.0),
        ("-7 % 3", "long", -1),
        ("7 mod -3", "long", 1),
        ("'5' + 1", "long", 6),
        ("'' + 1", "long", 1),
        ("null + 1", "long", 1),
        ("null + null", "long", 0),
        ("'5.5' + 1", "double", 6.5),
        ("9223372036854775807 + 1", "long", -(2**63)),
        ("value.huge + 1", "biginteger", 10**30 + 1),
        ("value.huge + 0.5", "decimal", Decimal("1000000000000000000000000000000.5")),
        ("value.dec * 2", "decimal", Decimal("24.680")),
        ("value.dec / 4", "decimal", Decimal("3.085")),
        ("value.dec % 5", "double", math.fmod(12.34, 5)),
        ("1 / 0", "double", math.inf),
        ("1e400", "decimal", Decimal("1E+400")),
        ("-value.missing", "long", 0),
        ("-'5.5'", "double", -5.5),
        ("2 + 3 * 4 - 1", "long", 13),
        ("2 * -3", "long", -6),
        # text
        ("'a' += value.n", "string", "a5"),
        ("null += 1e10", "string", "null1.0E10"),
        ("value.o += ''", "string", "{x={y=9}}"),
        ("'it\\'s'", "string", "it's"),
        ("value.n} apples", "string", "5 apples}"),
        # logic
        ("true && null", "null", None),
        ("false && null", "boolean", False),
        ("true || value.s.x", "boolean", True),
        ("not 'TRUE'", "boolean", False),
        ("empty value['empty'] and empty value.none and empty value.nul", "boolean", True),
        ("value.n > 3 ? 'many' : 'few'", "string", "many"),
        # lambdas, literals, sequences
        ("(x -> y -> x + y)(1)(2)", "long", 3),
        ("fact = n -> n <= 1 ? 1 : n * fact(n - 1); fact(5)", "long", 120),
        ("x = 2; x * x", "long", 4),
        ("[1, 'a', null]", "list", [1, "a", None]),
        ("{1, 1, 2}", "set", [1, 2]),
        ("{}", "set", []),
        ("{'a': value.n}.a", "int", 5),
        ("value.o.x.y = 3; value.o.x.y", "long", 3),
    ],
)
def test_value_and_kind(text: str, kind: str, value: object) -> None:
    result = run(text)
    assert (kind_of(result), result) == (kind, value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5 == '5'", True),
        ("5 == '5.0'", True),
        ("5 == 5.0", True),
        ("true == 'TRUE'", True),
        ("false == ''", True),
        ("'' == null", False),
        ("null == null", True),
        ("value.l == value.l", True),
        ("value.l == [1, 2, 3]", False),  # 32-bit integers against longs
        ("[1, 2] == [1, 2]", True),
        ("value.dec == 12.34", False),  # decimals compare with their scale
        ("0.0 == -0.0", False),
        ("0/0 == 0/0", True),
        ("1 ne 2", True),
        ("null < 1", False),
        ("null <= null", True),
        ("'10' > 9", True),
        ("'10' > '9'", False),
        ("'\ufffd' < '\U0001f600'", False),  # by UTF-16 units
        ("value.bytes == value.bytes", True),
        ("value.bytes == '\x01\ufffd'", True),
    ],
)
def test_comparison(text: str, expected: bool) -> None:
    assert run(text) is expected


@pytest.mark.parametrize(
    "text",
    [
        "'abc' + 1",
        "' 5' + 1",
        "true + 1",
        "value.l + 1",
        "5 % 0",
        "1 == true",
        "value.l == 1",
        "!null",
        "null || true",
        "value.missing ? 1 : 2",
        "1 ? 1 : 2",
        "1 < 2 < 3",
        "value.o < value.l",
        "value.l['x']",
        "value.s.toUpperCase()",
        "value.l.size()",
        "uppercase('a')",
        "value = 1",
        "1 = 2",
        "((x, y) -> x)(1)",
        "(x -> x)(1)(2)",
        "loop = x -> loop(x); loop(1)",
    ],
)
def test_faults(text: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        run(text)
    assert raised.value.stage == "evaluate"
    assert not isinstance(raised.value, UnresolvedProperty)


@pytest.mark.parametrize(
    "text", ["value.s.x", "value.n.x", "nosuch", "nosuch.x", "null.x", "value.s.__class__"]
)
def test_what_does_not_exist_is_told_apart(text: str) -> None:
    with pytest.raises(UnresolvedProperty):
        run(text)


def test_a_null_base_makes_a_method_call_null() -> None:
    assert run("value.missing.foo()") is None


def test_faults_name_the_column() -> None:
    with pytest.raises(
        ExpressionError, match=r"methods cannot be called.*at column 8 of the expression"
    ) as raised:
        run("value.s.length()")
    assert raised.value.column == 8


def test_assignment_leaves_the_record_alone() -> None:
    run("value.o.x.y = 100")
    assert SCOPE["value"]["o"]["x"]["y"] == 9
    assert "x" not in SCOPE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("value.yes", True),
        ("'True'", True),
        ("'yes'", False),
        ("value.missing", False),
        ("!value.missing", True),
        ("value.missing && value.yes", False),
        ("value.s.x == 1", False),
        ("!nosuch", False),
        ("key == 'k1'", True),
    ],
)
def test_conditions(text: str, expected: bool) -> None:
    assert compile_expression(text, condition=True).test(SCOPE) is expected


@pytest.mark.parametrize("text", ["1", "value.l", "value", "value.s + 1"])
def test_conditions_that_are_no_boolean_fail(text: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(text, condition=True).test(SCOPE)


def test_filter_predicates_see_the_item_and_in_compute_the_message() -> None:
    text = "fn:filter(value.docs, \"record.t == 'a' || value.n == 5\")"
    assert run(text, filters_see="message") == [{"t": "a", "v": 1}, {"t": "b", "v": 2}]
    assert run(text, filters_see="record") == [{"t": "a", "v": 1}]


def test_filter_needs_a_boolean_and_drops_what_has_no_such_property() -> None:
    assert run("fn:filter(value.l, 'nosuch == 1')") == []
    with pytest.raises(ExpressionError):
        run("fn:filter(value.docs, 'record.v')")
    with pytest.raises(ExpressionError):
        run("fn:filter(value.none, 'bad (')")


def test_typed_results() -> None:
    assert compile_expression("value.num").evaluate_as(SCOPE, "INT32") == 42
    assert compile_expression("value.l").evaluate_as(SCOPE, "list") == [1, 2, 3]
    assert compile_expression("value.missing").evaluate_as(SCOPE, "list") is None
    with pytest.raises(ExpressionError, match="a list is needed"):
        compile_expression("value.s").evaluate_as(SCOPE, "list")
    with pytest.raises(ExpressionError, match="cannot become INT32"):
        compile_expression("value.s").evaluate_as(SCOPE, "INT32")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("value.ts == value.d", False),
        ("value.d == value.ts", True),
        ("value.ts <= value.d", True),
        ("value.t < value.d", True),
        ("value.ld < '1970-02-01'", True),
        ("-value.ld", -5),
    ],
)
def test_dates(text: str, expected: object) -> None:
    dates = {"ts": Timestamp(7_000_001), "d": UtilDate(7), "t": SqlTime(6), "ld": LocalDate(5)}
    assert compile_expression(text).evaluate(empty_scope() | {"value": dates}) == expected


def test_instants_have_no_order_with_the_older_classes() -> None:
    scope = empty_scope() | {"value": [Instant(5), Timestamp(5)]}
    assert compile_expression("value[0] == value[1]").evaluate(scope) is False
    with pytest.raises(ExpressionError, match="have no order"):
        compile_expression("value[0] < value[1]").evaluate(scope)


def test_negation_keeps_the_kind() -> None:
    scope = empty_scope() | {"value": [Byte(3), Float32(1.5), Long(3), 3]}
    results = [compile_expression(f"-value[{at}]").evaluate(scope) for at in range(4)]
    assert [kind_of(result) for result in results] == ["byte", "float", "long", "int"]
