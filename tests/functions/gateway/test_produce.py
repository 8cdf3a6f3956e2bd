"""Produce: the forms of a request over WebSocket and HTTP, and what is refused."""

from __future__ import annotations

import asyncio
import json

import pytest
import websockets

from tidemill.functions.gateway.limits import Limits
from tidemill.functions.gateway.spec import GatewayPlan, HeaderSpec

PLAIN = GatewayPlan(id="p", type="produce", topic="questions")
MARKED = GatewayPlan(
    id="marked",
    type="produce",
    topic="questions",
    parameters=("user",),
    headers=(HeaderSpec(key="user-id", from_parameter="user"), HeaderSpec(key="app", value="shop")),
)
OK = {"status": "OK", "reason": None}
URL = "/api/gateways/produce/default/myapp/"


def bad(reason: str) -> dict[str, str]:
    return {"status": "BAD_REQUEST", "reason": reason}


REQUESTS = [
    ({"value": "v"}, None, "v", ()),
    ({"key": "k"}, "k", None, ()),
    ({"key": "k", "value": "", "headers": None}, "k", "", ()),
    ({"value": {"a": [1, 2.5, "ü"]}}, None, '{"a":[1,2.5,"ü"]}', ()),
    ({"value": [1]}, None, "[1]", ()),
    ({"value": 2**80}, None, str(2**80), ()),
    ({"value": False}, None, "false", ()),
    ({"key": {"id": 1}, "value": "v"}, {"id": 1}, "v", ()),
    ({"key": [1, None], "value": "v"}, [1, None], "v", ()),
    ({"key": 7, "value": "v"}, 7, "v", ()),
    (
        {"value": "v", "headers": {"B": "x y", "a": 1, "é": None}},
        None, "v", (("B", "x y"), ("a", "1"), ("é", None)),
    ),
]  # fmt: skip


async def test_json_requests(serving, receive):
    async with serving(PLAIN, topics={"questions": 1}) as run, run.connect("produce", "p") as socket:
        for request, key, value, headers in REQUESTS:
            await socket.send(json.dumps(request))
            assert await receive(socket) == OK
            record = (await run.records("questions"))[-1]
            assert (record.key, record.value, record.headers) == (key, value, headers)


REFUSED = [
    ("{}", "Either key or value must be set."),
    ('{"headers":{"a":"b"}}', "Either key or value must be set."),
    ("", "Error while parsing JSON payload: "),
    ("[]", "Error while parsing JSON payload: the request must be a JSON object"),
    ("null", "Error while parsing JSON payload: the request must be a JSON object"),
    ('{"value":NaN}', "Error while parsing JSON payload: NaN is not JSON"),
    ('{"value":"v","extra":1}', 'Error while parsing JSON payload: Unrecognized field "extra"'),
    ('{"value":"v","headers":[1]}', "Error while parsing JSON payload: headers must be an object"),
    ('{"value":"v","headers":{"a":[]}}', "Error while parsing JSON payload: the header 'a' must be text"),
    ("[" * 100_000, "Error while parsing JSON payload: "),
    ('{"value":"\\ud800"}', "the text holds half of a character pair"),
    ('{"key":"\\ud800"}', ""),
    ('{"value":"v","headers":{"\\ud800":"\\ud800"}}', ""),
    ('{"key": 1' + "0" * 30 + "}", ""),
    (json.dumps({"value": "v", "headers": {"h": "x" * 40_000}}), "the record's headers take"),
    (json.dumps({"value": "v", "headers": {f"h{n}": "x" * 100 for n in range(400)}}), "the record's"),
]


async def test_a_refused_request_keeps_the_socket_open(serving, receive):
    async with serving(PLAIN) as run, run.connect("produce", "p") as socket:
        for request, reason in REFUSED:
            await socket.send(request)
            answer = await receive(socket)
            assert answer["status"] == "BAD_REQUEST", request
            assert answer["reason"].startswith(reason)
            assert not await run.records("questions")
        await socket.send('{"value":"v"}')
        assert await receive(socket) == OK


async def test_the_gateways_headers_are_added_and_protected(serving, client, receive):
    async with serving(MARKED) as run:
        async with run.connect("produce", "marked", param__user="u 1") as socket:
            await socket.send('{"value":"1","headers":{"mine":"x"}}')
            assert await receive(socket) == OK
            await socket.send('{"value":"2","headers":{"app":"other"}}')
            assert await receive(socket) == bad("Header app is configured as parameter-level header.")
        async with client() as http:
            answer = await http.post(run.http + URL + "marked?param%3Auser=u2", content="plain text")
            assert (answer.status_code, answer.json()) == (200, OK)
        first, second = sorted(await run.records("questions"), key=lambda record: record.value)
        assert dict(first.headers) == {"mine": "x", "user-id": "u 1", "app": "shop"}
        assert (second.value, second.key) == ("plain text", None)
        assert dict(second.headers) == {"user-id": "u2", "app": "shop"}


async def test_http_content_types(serving, client):
    cases = [
        ("application/json", b'{"value":{"a":1}}', '{"a":1}'),
        ("application/json;charset=UTF-8", '{"value":"ü"}'.encode(), "ü"),
        ('application/json; charset="iso-8859-1"', '{"value":"ü"}'.encode("latin-1"), "ü"),
        ("text/plain", "grüß".encode(), "grüß"),
        ("text/plain; charset=iso-8859-1", "grüß".encode("latin-1"), "grüß"),
        ("Text/Plain", b'{"value":"stays"}', '{"value":"stays"}'),
        (None, b"none", "none"),
    ]
    async with serving(PLAIN, topics={"questions": 1}) as run, client() as http:
        for kind, body, value in cases:
            headers = {"content-type": kind} if kind else {}
            answer = await http.post(run.http + URL + "p", content=body, headers=headers)
            assert (answer.status_code, answer.json()) == (200, OK), kind
            assert (await run.records("questions"))[-1].value == value


async def test_http_refusals_have_the_form_of_an_answer(serving, client):
    cases = [
        ("application/json", b"{", "Error while parsing JSON payload: "),
        ("application/json", b"\xff\xfe", "The body is not text in utf-8"),
        ("application/json", b"", "Error while parsing JSON payload: "),
        ("text/plain", b"", "Either key or value must be set."),
        ("text/plain", b"\xff", "The body is not text in utf-8"),
        ("application/cloudevents+json", b"[]", "the body is not a CloudEvent"),
        ("application/cloudevents+json", b'{"id":"1"}', "the attribute 'specversion' is missing"),
        ("application/cloudevents-batch+json", b"{}", "the body is not a batch"),
    ]
    async with serving(PLAIN) as run, client() as http:
        for kind, body, reason in cases:
            answer = await http.post(run.http + URL + "p", content=body, headers={"content-type": kind})
            assert answer.status_code == 400, kind
            assert answer.json()["status"] == "BAD_REQUEST"
            assert answer.json()["reason"].startswith(reason)
        assert not await run.records("questions")


async def test_an_unsupported_content_type_is_a_problem(serving, client):
    async with serving(PLAIN) as run, client() as http:
        for kind in ("text/html", "application/json; charset=zlib", "text/plain;charset=idna"):
            answer = await http.post(run.http + URL + "p", content=b"x", headers={"content-type": kind})
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.json() == {
                "type": "about:blank",
                "title": "Bad Request",
                "status": 400,
                "detail": f'400 BAD_REQUEST "Unsupported content type: {kind}"',
                "instance": URL + "p",
            }


CE = {"ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/shop", "ce-type": "order"}


async def test_cloudevents_keep_their_identity_and_get_the_headers(serving, client):
    async with serving(MARKED) as run, client() as http:
        url = run.http + URL + "marked?param:user=u"
        binary = {**CE, "ce-subject": "s", "ce-partitionkey": "k", "content-type": "application/pdf"}
        for _ in range(2):  # a retry is stored once
            answer = await http.post(url, content=b"\x00\xff", headers=binary)
            assert (answer.status_code, answer.json()) == (200, OK)
        structured = {"specversion": "1.0", "id": "e2", "source": "/shop", "type": "order", "data": {"n": 1}}
        kind = {"content-type": "application/cloudevents+json; charset=utf-8"}
        assert (await http.post(url, content=json.dumps(structured), headers=kind)).status_code == 200
        batch = [{**structured, "id": f"b{n}", "color": "red"} for n in range(3)]
        kind = {"content-type": "application/cloudevents-batch+json"}
        assert (await http.post(url, content=json.dumps(batch), headers=kind)).status_code == 200
        assert (await http.post(url, content=b"[]", headers=kind)).json() == OK

        found = {record.incoming.event.id: record for record in await run.records("questions")}
        assert sorted(found) == ["b0", "b1", "b2", "e1", "e2"]
        first = found["e1"]
        assert (first.key, first.value) == ("k", b"\x00\xff")
        assert first.incoming.event.attributes.items() >= {
            "source": "/shop", "type": "order", "subject": "s", "datacontenttype": "application/pdf"
        }.items()  # fmt: skip
        assert dict(first.headers) == {"user-id": "u", "app": "shop"}
        assert found["e2"].value == '{"n": 1}'  # byte for byte
        assert dict(found["b1"].headers) == {"color": "red", "user-id": "u", "app": "shop"}

        answer = await http.post(url, content=b"", headers={**CE, "ce-app": "mine"})
        assert (answer.status_code, answer.json()) == (
            400,
            bad("Header app is configured as parameter-level header."),
        )


async def test_damaged_extensions_of_our_own_are_no_failure(serving, client, caplog):
    texts = ("1", "2abc", "1*", "1kwE", "1wA", "1gaFh", "1text", "1json", "", "1oWE")
    async with serving(PLAIN) as run, client() as http:
        for name in ("tidemillheaders", "tidemillkey", "tidemillvalue"):
            for text in texts:
                event = {**CE, "ce-id": name + text, f"ce-{name}": text}
                answer = await http.post(run.http + URL + "p", content=b"{", headers=event)
                assert answer.status_code in (200, 400), (name, text)
                assert answer.json()["status"] in ("OK", "BAD_REQUEST")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_large_body_is_not_taken_for_large_headers(serving, client):
    async with serving(PLAIN, topics={"questions": 1}) as run, client() as http:
        for size in (60_000, 70_000, 300_000, 1_000_000):  # in one piece from the socket, and in several
            answer = await http.post(run.http + URL + "p", content=b"x" * size)
            assert (answer.status_code, answer.json()) == (200, OK)
        assert [len(record.value) for record in await run.records("questions")] == [
            60_000, 70_000, 300_000, 1_000_000,
        ]  # fmt: skip


async def test_headers_without_an_end_are_refused(serving):
    async with serving(PLAIN) as run:
        reader, writer = await asyncio.open_connection("127.0.0.1", run.port)
        writer.write(b"GET / HTTP/1.1\r\na: " + b"x" * 100_000)
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"headers are too large" in answer
        writer.close()


async def test_a_message_that_is_too_large(serving, client, receive):
    async with serving(PLAIN, limits=Limits(message=1000)) as run:
        async with run.connect("produce", "p") as socket:
            await socket.send('{"value":"first"}')
            await socket.send(json.dumps({"value": "ü" * 700}, ensure_ascii=False))
            assert await receive(socket) == OK
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await socket.recv()
            assert caught.value.rcvd.code == 1009
        async with run.connect("produce", "p") as socket:
            await socket.send("x" * 100_000)
            await socket.wait_closed()
            assert socket.close_code == 1009
        async with client() as http:
            answer = await http.post(run.http + URL + "p", content=b"x" * 1001)
            assert answer.status_code == 413
            assert answer.json()["detail"] == "a message may have at most 1000 bytes"

            async def chunks():
                for _ in range(20):
                    yield b"x" * 100

            assert (await http.post(run.http + URL + "p", content=chunks())).status_code == 413
        assert [record.value for record in await run.records("questions")] == ["first"]


async def test_binary_messages_are_not_accepted(serving):
    async with serving(PLAIN) as run, run.connect("produce", "p") as socket:
        await socket.send(b"{}")
        await socket.wait_closed()
        assert socket.close_code == 1003


async def test_a_broker_that_cannot_write(serving, client, receive):
    async with serving(PLAIN) as run:
        run.broker.broken = OSError("disk full: /secret/path")
        async with run.connect("produce", "p") as socket:
            await socket.send('{"value":"v"}')
            answer = await receive(socket)
            assert answer == {"status": "PRODUCER_ERROR", "reason": "the topic cannot be written: OSError"}
            run.broker.broken = None
            await socket.send('{"value":"v"}')
            assert await receive(socket) == OK
        run.broker.broken = OSError("again")
        async with client() as http:
            answer = await http.post(run.http + URL + "p", content="v")
            assert (answer.status_code, answer.json()["status"]) == (500, "PRODUCER_ERROR")


async def test_messages_sent_just_before_leaving_are_written(serving):
    async with serving(PLAIN, topics={"questions": 1}) as run:
        run.broker.publishing.clear()
        async with run.connect("produce", "p") as socket:
            for n in range(5):
                await socket.send(json.dumps({"value": str(n)}))
        run.broker.publishing.set()
        await run.stop()
        assert [record.value for record in await run.records("questions")] == list("01234")


async def test_draining_answers_what_was_accepted(serving, receive, refusal):
    async with serving(PLAIN) as run, run.connect("produce", "p") as socket:
        run.broker.publishing.clear()
        await socket.send('{"value":"v"}')
        await run.broker.hanging.wait()
        draining = asyncio.create_task(run.app.drain())
        await asyncio.sleep(0)
        status, problem = await refusal(run.path("produce", "p"))
        assert (status, problem["detail"]) == (503, "the gateway is restarting")
        run.broker.publishing.set()
        assert await receive(socket) == OK
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await socket.recv()
        assert caught.value.rcvd.code == 1012
        await draining


async def test_ids_are_never_used_twice(serving, receive):
    async with serving(PLAIN) as run, run.connect("produce", "p") as socket:
        for _ in range(50):
            await socket.send('{"key":"same","value":"same"}')
            assert await receive(socket) == OK
        assert len({record.incoming.event.id for record in await run.records("questions")}) == 50
