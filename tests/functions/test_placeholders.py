"""`${a.b.c}`: types kept, text filled, what is foreign or unknown left alone."""

from __future__ import annotations

import pytest

from tidemill.functions.placeholders import (
    InvalidPlaceholder,
    UnresolvedReference,
    modern,
    references,
    resolve,
)

CONTEXT = {
    "globals": {
        "n": 3,
        "flag": True,
        "list": [1, {"b": 2, "a": 1}],
        "text": "hi",
        "nothing": None,
        "deep": {"x": 1.5},
        "chained": "${globals.text}",
    }
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${globals.n}", 3),
        ("${ globals.flag }", True),
        ("${globals.list}", [1, {"b": 2, "a": 1}]),
        ("${globals.deep.x}", 1.5),
        ("${globals.missing}", None),
        ("a ${globals.n} b ${globals.text}", "a 3 b hi"),
        ("=${globals.list}", '=[1, {"a": 1, "b": 2}]'),
        ("<${globals.nothing}${globals.missing}>", "<>"),
        ("${globals.flag}!", "true!"),
        ("${secrets.a.b}", "${secrets.a.b}"),
        ("${globals.text}/${ secrets.a.b }", "hi/${secrets.a.b}"),
        ("${globals.chained}", "${globals.text}"),
        ("plain $ {text}", "plain $ {text}"),
        ("", ""),
    ],
)
def test_resolves(text: str, expected: object) -> None:
    assert resolve(text, CONTEXT) == expected


def test_resolves_inside_maps_and_lists_and_keeps_other_values() -> None:
    value = {"a": ["${globals.n}", 1, None], "${globals.n}": {"b": "${globals.text}"}}
    assert resolve(value, CONTEXT) == {"a": [3, 1, None], "${globals.n}": {"b": "hi"}}


@pytest.mark.parametrize("text", ["${", "a ${globals.n", "${}", "${a..b}", "${ . }"])
def test_refuses_what_is_no_placeholder(text: str) -> None:
    with pytest.raises(InvalidPlaceholder):
        resolve(text, CONTEXT)


@pytest.mark.parametrize("text", ["${globals.missing.x}", "${globals.n.x}", "${globals.text.a.b}"])
def test_a_missing_step_before_the_last_is_an_error_that_shows_no_values(text: str) -> None:
    with pytest.raises(UnresolvedReference) as caught:
        resolve(text, {**CONTEXT, "secrets": {"a": "planted-value"}})
    assert str(caught.value) == f"Cannot resolve reference {text[2:-1]}"


def test_symbolic_keeps_whatever_is_missing() -> None:
    for text in ("${globals.missing}", "${globals.missing.x}", "x ${globals.missing} y"):
        assert resolve(text, CONTEXT, symbolic=True) == text
    assert resolve("${globals.n}", CONTEXT, symbolic=True) == 3


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{{secrets.a.b}}", "${secrets.a.b}"),
        ("{{{ globals.x }}}", "${globals.x}"),
        ("{{% globals.x }}", "${globals.x}"),
        ("a {{ globals.x }} {{ value.y }}", "a ${globals.x} {{ value.y }}"),
        ("{{ value.secrets.x }}", "{{ value.secrets.x }}"),
        ("{{globals}}", "{{globals}}"),
        ("${globals.x} {{globals.y}}", "${globals.x} {{globals.y}}"),
        ("{{#globals.x}}a{{/globals.x}}", "{{#globals.x}}a{{/globals.x}}"),
    ],
)
def test_the_older_form_is_rewritten_only_where_it_is_meant(old: str, new: str) -> None:
    assert modern(old) == new


def test_references() -> None:
    assert [found.name for found in references("${a.b} and {{globals.c}} ${ d }")] == ["a.b", "d"]
