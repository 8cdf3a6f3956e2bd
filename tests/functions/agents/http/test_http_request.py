"""http-request against a real server: what is sent, what is stored, what is an error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from contract.context import results, running
from support.web_server import Asked, Page, Site, site

from tidemill.errors import TemplateError
from tidemill.functions.agents.http._client import MAX_BODY, HttpError, with_query
from tidemill.record import Record


@pytest.fixture
def web() -> Iterator[Site]:
    with site() as found:
        yield found


def asked(web: Site, *values: Any, path: str = "/", **configuration: Any) -> list[Record]:
    async def run() -> list[Record]:
        named = {"url": web.url + path, "output-field": "value.out"}
        named |= {name.replace("_", "-"): value for name, value in configuration.items()}
        async with running("http-request", named) as agent:
            return [
                one for value in values for one in await results(agent, Record(value, "k", (("h", "x"),)))
            ]

    return asyncio.run(run())


def test_what_is_sent(web: Site) -> None:
    web.pages["/a"] = "ok"
    asked(
        web,
        '{"q":"a b&c~*ü","n":1.0}',
        path="/a",
        method="PUT",
        query_string={"q": "{{{value.q}}}", "n": "{{value.n}}"},
        headers={"X-Key": "{{key}}-{{properties.h}}", "Content-Type": "text/plain"},
        body="{{value.q}} {{{value.q}}}",
    )
    [request] = web.asked
    assert (request.method, request.path) == ("PUT", "/a?q=a+b%26c%7E*%C3%BC&n=1.0")
    assert request.headers["x-key"] == "k-x"
    assert request.headers["content-type"] == "text/plain"
    assert request.body.decode() == "a b&amp;c~*ü a b&c~*ü"


def test_parameters_are_added_to_those_of_the_address() -> None:
    assert with_query("http://h/p?a=1", {"b": "2"}) == "http://h/p?a=1&b=2"
    assert with_query("http://h/p", {}) == "http://h/p"


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        ('{"a": [1, 2.50]}', {"a": [1, 2.5]}),
        ("[1]", "[1]"),
        ("null", "null"),
        ("", ""),
        ('"x"', '"x"'),
        ("plain ü", "plain ü"),
    ],
)
def test_what_is_stored(web: Site, body: str, stored: Any) -> None:
    web.pages["/"] = Page(body, kind="application/json")
    assert asked(web, '{"a":1}') == [Record({"a": 1, "out": stored}, "k", (("h", "x"),))]
    assert asked(web, "text", output_field="value") == [Record(stored, "k", (("h", "x"),))]


def test_the_servers_encoding_counts(web: Site) -> None:
    web.pages["/"] = Page("naïve".encode("latin-1"), kind="text/plain; charset=iso-8859-1")
    assert asked(web, "t", output_field="value")[0].value == "naïve"
    web.pages["/"] = Page("naïve", kind="text/plain; charset=no-such")
    assert asked(web, "t", output_field="value")[0].value == "naïve"


@pytest.mark.parametrize(
    ("status", "permanent"), [(400, True), (404, True), (429, False), (500, False), (503, False)]
)
def test_a_refusal_is_the_records_error(web: Site, status: int, permanent: bool) -> None:
    web.pages["/p"] = Page("secret", status)
    with pytest.raises(HttpError, match=f"answers HTTP {status}") as caught:
        asked(web, "{}", path="/p?token=secret")
    assert caught.value.permanent == permanent
    assert caught.value.http_status == status
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_the_records_error(web: Site) -> None:
    with pytest.raises(HttpError, match="cannot be reached"):
        asked(web, "{}", url="http://user:secret@127.0.0.1:1/?k=secret")
    with pytest.raises(HttpError, match="cannot be asked") as caught:
        asked(web, "{}", url="no address")
    assert "secret" not in str(caught.value)
    with pytest.raises(HttpError, match="cannot be asked"):
        asked(web, '{"x":"a\\r\\nb: c"}', headers={"x": "{{{value.x}}}"})
    assert web.asked == []


def test_a_connection_that_breaks_and_a_body_without_end(web: Site) -> None:
    web.pages["/"] = Page(headers={"content-length": "10"}, trap=lambda out: out.write(b"abc"))
    with pytest.raises(HttpError, match="broke off"):
        asked(web, "{}")

    def endless(out: Any) -> None:
        while True:
            out.write(b"x" * 1024 * 1024)

    web.pages["/"] = Page(trap=endless)
    with pytest.raises(HttpError, match=f"more than {MAX_BODY} bytes"):
        asked(web, "{}")


def test_a_hole_in_a_template_sends_nothing(web: Site) -> None:
    with pytest.raises(TemplateError):
        asked(web, "{}", query_string={"q": "{{value.q}}"})
    assert web.asked == []


def test_redirects(web: Site) -> None:
    web.pages |= {
        "/": Page(status=303, headers={"location": "/next?x=1"}),
        "/next": lambda request: Page(json.dumps({"method": request.method}), kind="application/json"),
        "/loop": Page(status=302, headers={"location": "/loop"}),
        "/secure": Page("stay", status=302, headers={"location": "https://127.0.0.1:1/"}),
    }
    [found] = asked(web, "{}", method="POST", body="b")
    assert found.value == {"out": {"method": "GET"}}
    [kept] = asked(web, "{}", allow_redirects=False)
    assert kept.value == {"out": ""}
    [stopped] = asked(web, "{}", path="/loop")
    assert stopped.value == {"out": ""}
    assert web.paths.count("/loop") == 6
    with pytest.raises(HttpError, match="cannot be reached"):  # up to https is followed
        asked(web, "{}", path="/secure")


@pytest.mark.parametrize(("kept", "sent"), [(True, "a=1"), (False, None)])
def test_cookies(web: Site, kept: bool, sent: str | None) -> None:
    web.pages["/"] = Page("x", headers={"set-cookie": "a=1"})
    asked(web, "{}", "{}", handle_cookies=kept)
    cookies = [request.headers.get("cookie") for request in web.asked]
    assert cookies == [None, sent]


def test_a_request_is_made_once(web: Site) -> None:
    answers = iter([Page("", 500), Page("late")])
    web.pages["/"] = lambda request: next(answers)
    with pytest.raises(HttpError):
        asked(web, "{}")
    assert len(web.asked) == 1


def test_asked_is_kept_as_it_came(web: Site) -> None:
    web.pages["/"] = "x"
    asked(web, "{}")
    assert isinstance(web.asked[0], Asked)
    assert web.asked[0].headers["user-agent"] == "tidemill"
