"""Mustache templates: look-up, escaping, sections, white space, errors."""

from __future__ import annotations

import pytest

from tidemill.errors import TemplateError
from tidemill.functions.context import open_record
from tidemill.functions.templates import compile_template, template_scope, without_legacy_braces
from tidemill.record import Record

SCOPE = {
    "value": {
        "q": "a < b & \"c\" 'd' `e` =/",
        "n": 5,
        "f": 1e10,
        "nul": None,
        "yes": True,
        "no": False,
        "empty": "",
        "zero": 0,
        "l": [1, 2, 3],
        "none": [],
        "o": {"x": {"y": 9}, "name": "Bob"},
        "docs": [{"text": "T1", "n": 100}, {"text": "T2"}],
        "holes": [None, 1],
        "nested": [[1, 2], [3]],
        "a-b": "dash",
        "a.b": "dotted",
    },
    "key": "k1",
    "properties": {"session-id": "S"},
    "topicName": "in",
    "eventTime": 17,
    "destinationTopic": None,
}


def render(source: str) -> str:
    return compile_template(source).render(SCOPE)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{{value.q}}", "a &lt; b &amp; &quot;c&quot; &#39;d&#39; &#x60;e&#x60; &#x3D;/"),
        ("{{{ value.q }}}", "a < b & \"c\" 'd' `e` =/"),
        ("{{& value.q}}", "a < b & \"c\" 'd' `e` =/"),
        ("{{value.n}}{{value.f}}", "51.0E10"),
        ("{{value.l.1}}", "2"),
        ("{{{value.o}}}", "{x={y=9}, name=Bob}"),
        ("{{value.a-b}} {{properties.session-id}}", "dash S"),
        ("{{#value}}{{a.b}}{{/value}}", "dotted"),
        ("{{value.empty}}", ""),
        ("{{value.}}", "{{value}}"),
        # sections
        ("{{#value.yes}}y{{/value.yes}}{{^value.yes}}n{{/value.yes}}", "y"),
        ("{{#value.no}}y{{/value.no}}{{^value.no}}n{{/value.no}}", "n"),
        ("{{#value.nul}}y{{/value.nul}}{{^value.nul}}n{{/value.nul}}", "n"),
        ("{{^value.none}}n{{/value.none}}{{^value.zero}}z{{/value.zero}}", "n"),
        ("{{#value.zero}}[{{.}}]{{/value.zero}}{{#value.empty}}e{{/value.empty}}", "[0]e"),
        ("{{#value.missing.deep}}x{{/value.missing.deep}}", ""),
        ("{{#value.o}}{{name}} {{x.y}} {{topicName}}{{/value.o}}", "Bob 9 in"),
        ("{{#value.docs}}{{-index}}:{{text}}{{^-last}},{{/-last}}{{/value.docs}}", "1:T1,2:T2"),
        ("{{#value.docs}}{{#-first}}>{{/-first}}{{text}}{{/value.docs}}", ">T1T2"),
        ("{{#value}}{{#docs}}{{text}} {{n}} {{/docs}}{{/value}}", "T1 100 T2 5 "),
        ("{{#value.nested}}{{#this}}{{.}}{{/this}}|{{/value.nested}}", "12|3|"),
        ("{{#value.holes}}x{{/value.holes}}", "xx"),
        ("{{-index}}", "0"),
        # lines of tags
        ("{{# value.docs}}\n- {{ text}}\n{{/ value.docs}}\nend", "- T1\n- T2\nend"),
        ("  {{#value.yes}}\n  in\n  {{/value.yes}}\nout", "  in\nout"),
        ("a\n  {{! note }}\nb", "a\nb"),
        ("a {{! note }}\nb", "a \nb"),
        ("x\n{{#value.yes}}\n\ny\n\n{{/value.yes}}\nz", "x\n\ny\n\nz"),
        # what is no tag
        ("{value.n} { {value.n} }", "{value.n} { {value.n} }"),
        ("{{value.n", "{{value.n"),
        ("{{^value.n", "{{^value.n"),
        ("{{value {{value.n}}", "{{value 5"),
        ('{"a":{"b":{{value.n}}}}', '{"a":{"b":5}}'),
        ("{{{value.n}}}}", "5}"),
        # delimiters
        ("{{=<% %>=}}<%# value.l %><%.%> <%/ value.l %>{{.}}", "1 2 3 {{.}}"),
        ("{{=| |=}}|value.n| {{value.n}}", "5 {{value.n}}"),
    ],
)
def test_rendering(source: str, text: str) -> None:
    if text == "{{value}}":  # a name that ends in a dot is the same name without it
        text = render(text)
    assert render(source) == text


@pytest.mark.parametrize(
    "source",
    [
        "{{value.missing}}",
        "{{{value.nul}}}",
        "{{destinationTopic}}",
        "{{record}}",
        "{{value.docs.1.n}}",
        "{{value.l.-1}}",
        "{{value.l.9}}",
        "{{#value.docs}}{{n}}{{/value.docs}}",
        "{{#value.holes}}{{.}}{{/value.holes}}",
        "{{#}}x{{/}}",
        "{{> partial}}",
        "{{value..n}}",
        "{{..}}",
    ],
)
def test_what_fails_on_the_record(source: str) -> None:
    template = compile_template(source)
    with pytest.raises(TemplateError) as raised:
        template.render(SCOPE)
    assert (raised.value.stage, raised.value.line) == ("render", 1)


@pytest.mark.parametrize(
    ("source", "message", "line"),
    [
        ("a\n{{#value.l}}", "the section 'value.l' is not closed", 2),
        ("{{#a}}{{#b}}{{/a}}{{/b}}", "'b' of line 1 is closed as 'a'", 1),
        ("{{/a}}", "was not opened", 1),
        ("\n\n{{ }}", "a tag without a name", 3),
        ("{{a\nb}}", "holds a line break", 1),
        ("{{= =}}", "two delimiters", 1),
        ("{{=abc d=}}", "two delimiters", 1),
        ("{{{value.n}}", "three closing braces", 1),
    ],
)
def test_what_fails_at_the_start(source: str, message: str, line: int) -> None:
    with pytest.raises(TemplateError, match=message) as raised:
        compile_template(source)
    assert (raised.value.stage, raised.value.line) == ("compile", line)


def test_the_scope_of_a_record() -> None:
    record = Record('{"q":"x"}', "k", (("h", b"v"),), "topic", 5)
    scope = template_scope(open_record(record).scope())
    template = compile_template("{{value.q}} {{key}} {{properties.h}} {{topicName}} {{eventTime}}")
    assert template.render(scope) == "x k v topic 5"


def test_a_native_map_works() -> None:
    assert (
        compile_template("{{value.a}}").render(template_scope(open_record(Record({"a": 1})).scope())) == "1"
    )


def test_python_attributes_cannot_be_reached() -> None:
    for source in ("{{value.__class__}}", "{{key.upper}}", "{{value.l.append}}"):
        with pytest.raises(TemplateError):
            render(source)


def test_legacy_braces() -> None:
    assert without_legacy_braces("{{% value}}") == "{{ value}}"
