"""Service gateways: request and answer over topics, and forwarding to an agent's own server."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from tidemill.functions.gateway.limits import Limits
from tidemill.functions.gateway.spec import GatewayPlan, HeaderSpec
from tidemill.record import to_record

ASK = GatewayPlan(
    id="ask", type="service", input_topic="in", output_topic="out", headers=(HeaderSpec(key="a", value="b"),)
)
AGENT = GatewayPlan(id="agent", type="service", agent_id="served")
URL = "/api/gateways/service/default/myapp/"
ID = "langstream-service-request-id"


@asynccontextmanager
async def answering(run, *, delay=None, answers=1):
    """An agent that keeps headers, and that answers before the request is acknowledged."""

    async def work():
        offset = 0
        while True:
            await run.broker.wait("in", 0, offset)
            for stored in await run.broker.read("in", 0, offset, 100):
                offset = stored.offset + 1
                record = to_record(stored.event())
                headers = {name.replace("-", "_"): value for name, value in record.headers}
                for n in range(answers):
                    await run.write("out", f"{record.value}! {n}", **headers)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_answer_to_a_request_comes_back(serving, client):
    async with serving(ASK) as run, client() as http, answering(run, answers=3):
        await run.write("out", "older", langstream_service_request_id="x")
        body = {"key": "k", "value": "hello", "headers": {"lang": "en"}}
        answer = await http.post(run.http + URL + "ask", json=body)
        assert answer.status_code == 200
        push = answer.json()
        assert push["record"]["value"] == "hello! 0"
        (request,) = await run.records("in")
        assert request.key == "k"
        assert push["record"]["headers"] == dict(request.headers)
        assert {"lang": "en", "a": "b"}.items() <= dict(request.headers).items()
        assert push["offset"]


async def test_many_requests_at_once_each_get_their_own(serving, client):
    async with serving(ASK) as run, client() as http, answering(run):
        posts = [http.post(run.http + URL + "ask", content=f"q{n}") for n in range(40)]
        answers = await asyncio.gather(*posts)
        assert [answer.json()["record"]["value"] for answer in answers] == [f"q{n}! 0" for n in range(40)]
        assert not run.app._tails._tails["out"].usable  # nobody listens any more


async def test_no_answer_in_time(serving, client):
    async with serving(ASK, limits=Limits(service_timeout=0.05)) as run, client() as http:
        answer = await http.post(run.http + URL + "ask", content="q")
        assert answer.status_code == 408
        assert answer.json() == {
            "type": "about:blank",
            "title": "Request Timeout",
            "status": 408,
            "detail": "Request timed out",
            "instance": URL + "ask",
        }


async def test_a_client_that_leaves_is_not_waited_for(serving):
    async with serving(ASK) as run:
        _, writer = await asyncio.open_connection("127.0.0.1", run.port)
        writer.write(b"POST " + URL.encode() + b"ask HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nq")
        await run.broker.wait("in", 0, 0)
        writer.close()
        await writer.wait_closed()
        await asyncio.wait_for(run.stop(), 5)  # far less than the time for an answer


async def test_wrong_requests(serving, client):
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    batch = {"content-type": "application/cloudevents-batch+json"}
    cases = [
        ("GET", "ask", {}, 400, '400 BAD_REQUEST "Only POST method is supported"'),
        ("POST", "ask?param:x=1", {"content": "q"}, 400, "unknown parameters: [x]"),
        ("POST", "ask?option:position=latest", {"content": "q"}, 400, "Unknown option position"),
        ("POST", "ask", {"json": {}}, 400, "Either key or value must be set."),
        ("POST", "ask", {"json": {"value": "v", "headers": {ID: "mine"}}}, 400, f"Header {ID} is configured"),
        ("POST", "ask", {"content": json.dumps([event, event]), "headers": batch}, 400, "one record"),
        ("GET", "agent/x", {}, 503, "service agent served does not run here"),
    ]
    async with serving(ASK, AGENT) as run, client() as http:
        for method, path, options, status, text in cases:
            answer = await http.request(method, run.http + URL + path, **options)
            assert answer.status_code == status, path
            problem = answer.json()
            assert text in (problem.get("detail") or problem.get("reason")), path
        assert not await run.records("in")


async def test_an_agent_is_left_when_the_client_leaves(serving):
    left = asyncio.Event()

    async def handler(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nfirst of many")
        await writer.drain()
        assert await reader.read() == b""
        left.set()

    async with agent_server(handler) as base, serving(AGENT, forward={"served": base}) as run:
        reader, writer = await asyncio.open_connection("127.0.0.1", run.port)
        writer.write(b"GET " + URL.encode() + b"agent HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"first of many")
        writer.close()
        await asyncio.wait_for(left.wait(), 5)


@asynccontextmanager
async def agent_server(handler):
    """A bare HTTP server that gives `handler` the raw request and sends what it returns."""
    failures = []

    async def serve(reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await handler(head, reader, writer)
        except Exception as error:
            failures.append(error)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
    assert not failures


async def test_a_request_is_forwarded_whole(serving, client):
    heads = []

    async def handler(head, reader, writer):
        heads.append(head)
        body = await reader.readexactly(5)
        writer.write(b"HTTP/1.1 207 Odd\r\nX-Own: yes\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"5\r\n" + body + b"\r\n2\r\n!!\r\n0\r\n\r\n")
        await writer.drain()

    async with (
        agent_server(handler) as base,
        serving(AGENT, forward={"served": base}) as run,
        client() as http,
    ):
        path = "agent/a%2Fb/c?x=1&credentials=secret&y=%20&test%2Dcredentials=s2&x=2"
        answer = await http.put(run.http + URL + path, content=b"hello", headers={"X-Mine": "1"})
        assert (answer.status_code, answer.content) == (207, b"hello!!")
        assert answer.headers["x-own"] == "yes"
        assert "keep-alive" not in answer.headers
        (head,) = heads
        assert head.startswith(b"PUT /a%2Fb/c?x=1&y=%20&x=2 HTTP/1.1\r\n")
        assert b"secret" not in head
        assert b"\r\nx-mine: 1\r\n" in head.lower()
        assert head.lower().count(b"\r\nhost: ") == 1
        assert base.removeprefix("http://").encode() in head


async def test_bodies_are_forwarded_as_streams(serving, client):
    """No limit on messages holds for them."""
    size = 200_000

    async def handler(head, reader, writer):
        assert b"transfer-encoding: chunked" in head.lower()
        body = b""
        while not body.endswith(b"\r\n0\r\n\r\n"):
            body += await reader.read(10_000)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n%d" % body.count(b"x"))
        await writer.drain()

    async def parts():
        for _ in range(10):
            yield b"x" * (size // 10)

    limits = Limits(message=1000)
    async with (
        agent_server(handler) as base,
        serving(AGENT, forward={"served": base}, limits=limits) as run,
        client() as http,
    ):
        answer = await http.post(run.http + URL + "agent", content=parts())
        assert (answer.status_code, answer.text) == (200, str(size))


async def refuse(head, reader, writer):
    pass


async def talk_nonsense(head, reader, writer):
    writer.write(b"nonsense\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize("handler", [refuse, talk_nonsense])
async def test_an_agent_that_fails_is_a_bad_gateway(serving, client, handler):
    async with (
        agent_server(handler) as base,
        serving(AGENT, forward={"served": base}) as run,
        client() as http,
    ):
        answer = await http.get(run.http + URL + "agent")
        assert (answer.status_code, answer.json()["detail"]) == (502, "the agent gave no valid answer")
    async with serving(AGENT, forward={"served": "http://127.0.0.1:1"}) as run, client() as http:
        answer = await http.get(run.http + URL + "agent")
        assert (answer.status_code, answer.json()["detail"]) == (502, "the agent cannot be reached")
