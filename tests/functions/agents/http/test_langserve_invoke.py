"""langserve-invoke against a stand-in that speaks LangServe's protocol over a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from contract.context import TestContext, results, running
from pydantic import ValidationError
from support.web_server import Page, Site, site

from tidemill.errors import RecordError
from tidemill.functions.agents.http._client import HttpError
from tidemill.functions.registry import declaration
from tidemill.record import STREAM_ID, Record

FIELDS = [{"name": "topic", "expression": "value.topic"}, {"name": "n", "expression": "value.n + 1"}]


@pytest.fixture
def web() -> Iterator[Site]:
    with site() as found:
        yield found


def asked(
    web: Site, path: str, value: str = '{"topic":"ü","n":1}', **configuration: Any
) -> tuple[Any, TestContext]:
    context = TestContext()

    async def run() -> Any:
        named = {"url": web.url + path, "output-field": "value.out", "fields": FIELDS}
        named |= {name.replace("_", "-"): given for name, given in configuration.items()}
        async with running("langserve-invoke", named, context) as agent:
            [record] = await results(agent, Record(value, "k"))
            return record

    return asyncio.run(run()), context


def test_what_is_sent(web: Site) -> None:
    web.pages["/c/invoke"] = Page('"x"')
    asked(
        web,
        "/c/invoke",
        headers={"authorization": "Bearer {{{value.topic}}}1", "Content-Type": "application/json"},
        value='{"topic":"t","n":1}',
    )
    [request] = web.asked
    assert request.method == "POST"
    assert json.loads(request.body) == {"input": {"topic": "t", "n": 2}}
    assert request.headers["authorization"] == "Bearer t1"


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ('{"output": "text"}', "text"),
        ('{"output": {"content": "of a message", "type": "ai"}}', "of a message"),
        ('{"content": "without output"}', "without output"),
        ('"unquoted"', "unquoted"),
        ("raw text", "raw text"),
        ("[1]", "[1]"),
        ('{"output": 5}', "5"),
    ],
)
def test_answers(web: Site, body: str, answer: str) -> None:
    web.pages["/c/invoke"] = Page(body, kind="application/json")
    record, _ = asked(web, "/c/invoke")
    assert record == Record({"topic": "ü", "n": 1, "out": answer}, "k")


def test_the_field_of_messages_can_be_another(web: Site) -> None:
    web.pages["/c/invoke"] = Page('{"output": {"text": "here"}}')
    record, _ = asked(web, "/c/invoke", content_field="text")
    assert record.value["out"] == "here"


@pytest.mark.parametrize("page", [Page('{"output": {"other": 1}}'), Page("{}"), Page("", 500)])
def test_no_answer_is_the_records_error(web: Site, page: Page) -> None:
    web.pages["/c/invoke"] = page
    with pytest.raises(RecordError):
        asked(web, "/c/invoke")


def events(*data: Any, end: bool = True) -> Page:
    lines = [f"event: data\r\ndata: {json.dumps(one)}\r\n\r\n" for one in data]
    return Page(
        "".join(lines) + ('event: end\r\n\r\ndata: "late"\r\n\r\n' if end else ""), kind="text/event-stream"
    )


@pytest.mark.parametrize("end", [True, False])
def test_a_stream(web: Site, end: bool) -> None:
    web.pages["/c/stream"] = events(
        {"content": ""}, {"content": "a"}, "b", {"content": "c"}, {"content": "d"}, end=end
    )
    record, context = asked(
        web, "/c/stream", stream_to_topic="answers", stream_response_field="value", min_chunks_per_message=2
    )
    assert record.value["out"] == "abcd"
    written = [
        (topic, one.value, one.header("stream-index"), one.header("stream-last-message"))
        for topic, one, _ in context.published
    ]
    assert written == [
        ("answers", "a", "1", "false"),
        ("answers", "bc", "2", "false"),
        ("answers", "d", "3", "true"),
    ]
    assert len({one.header(STREAM_ID) for _, one, _ in context.published}) == 1
    assert {one.key for _, one, _ in context.published} == {"k"}


def test_a_stream_without_a_topic_is_only_an_answer(web: Site) -> None:
    web.pages["/c/stream"] = events("a", "b")
    record, context = asked(web, "/c/stream")
    assert (record.value["out"], context.published) == ("ab", [])


def test_a_stream_that_is_refused_or_breaks_is_the_records_error(web: Site) -> None:
    web.pages["/c/stream"] = Page("no", 503)
    with pytest.raises(HttpError, match="503"):
        asked(web, "/c/stream")
    web.pages["/c/stream"] = Page(
        headers={"content-length": "99"}, trap=lambda out: out.write(b'data: "a"\n\n')
    )
    with pytest.raises(HttpError, match="broke off"):
        asked(web, "/c/stream")


def test_an_address_that_is_no_endpoint_is_refused() -> None:
    with pytest.raises(ValidationError, match="/invoke or /stream"):
        declaration("langserve-invoke").config.model_validate(
            {"url": "http://h/chain", "output-field": "value"}
        )
