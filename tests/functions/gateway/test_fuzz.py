"""Whatever a client sends, it gets a reason: never a 5xx, never a traceback."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from urllib.parse import quote

import httpx
import pytest
import websockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.sync.client import connect

from tidemill.functions.gateway.limits import Limits
from tidemill.functions.gateway.spec import GatewayPlan, HeaderSpec

GATEWAYS = (
    GatewayPlan(id="p", type="produce", topic="questions"),
    GatewayPlan(id="c", type="consume", topic="answers"),
    GatewayPlan(
        id="t",
        type="chat",
        questions_topic="questions",
        answers_topic="answers",
        headers=(HeaderSpec(key="h", from_parameter="s"),),
    ),
    GatewayPlan(id="s", type="service", input_topic="questions", output_topic="answers"),
)
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def port(serving, caplog):
    """A gateway that runs in a thread of its own; afterwards its log must hold no error."""
    started, stop, ports = threading.Event(), threading.Event(), []

    async def main() -> None:
        limits = Limits(message=5000, service_timeout=0.01)
        async with serving(*GATEWAYS, limits=limits) as run:
            ports.append(run.port)
            started.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    with caplog.at_level(logging.WARNING):
        thread.start()
        assert started.wait(10)
        yield ports[0]
        stop.set()
        thread.join(15)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.fixture
def client():
    with httpx.Client(trust_env=False, verify=False) as client:
        yield client


words = st.sampled_from(
    [
        "v1",
        "api",
        "gateways",
        "produce",
        "consume",
        "chat",
        "service",
        "default",
        "myapp",
        "p",
        "c",
        "t",
        "s",
        "",
    ]
)
segments = st.one_of(words, st.text(max_size=10).map(lambda text: quote(text, safe="")))
paths = st.one_of(
    st.lists(segments, max_size=8).map(lambda parts: "/" + "/".join(parts)),
    st.tuples(st.sampled_from(["produce", "consume", "chat"]), st.sampled_from("pcts")).map(
        lambda pair: f"/v1/{pair[0]}/default/myapp/{pair[1]}"
    ),
)
names = st.one_of(
    st.sampled_from(["param:s", "param:x", "option:position", "credentials", "test-credentials"]),
    st.text(max_size=8),
)
queries = st.lists(
    st.tuples(names, st.one_of(st.sampled_from(["latest", "earliest", "", "e30"]), st.text(max_size=12))),
    max_size=4,
).map(lambda pairs: "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs))


@FUZZ
@given(path=paths, query=st.one_of(queries, st.from_regex(r"[!$-~]{0,30}", fullmatch=True)))
def test_handshakes(port, path, query):
    response = None
    try:
        with connect(f"ws://127.0.0.1:{port}{path}?{query}", proxy=None, close_timeout=1):
            pass
    except websockets.InvalidStatus as refused:
        response = refused.response
    if response is not None:
        assert response.status_code in (400, 404, 414)
        assert json.loads(response.body)["detail"]


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
requests = st.dictionaries(st.sampled_from(["key", "value", "headers", "x"]), values, max_size=3).map(
    json.dumps
)
texts = st.one_of(requests, st.text(max_size=50), st.just("x" * 6000))


@FUZZ
@given(frames=st.lists(st.one_of(texts, texts, texts, st.binary(max_size=20)), max_size=6))
def test_frames(port, frames):
    url = f"ws://127.0.0.1:{port}/v1/chat/default/myapp/t?param:s=1"
    with connect(url, proxy=None, close_timeout=1) as socket:
        for frame in frames:
            socket.send(frame)
            try:
                answer = json.loads(socket.recv(10))
            except websockets.ConnectionClosed:
                break
            assert answer["status"] in ("OK", "BAD_REQUEST")
            assert (answer["reason"] is None) == (answer["status"] == "OK")
    if socket.close_code != 1000:
        assert socket.close_code == (1003 if isinstance(frame, bytes) else 1009)


kinds = st.one_of(
    st.sampled_from(
        [
            "application/json",
            "text/plain",
            "application/cloudevents+json",
            "application/cloudevents-batch+json",
            "application/json; charset=utf-16",
            "application/json; charset=nonsense",
            "",
        ]
    ),
    st.from_regex(r"[a-z/;=+-]{1,20}", fullmatch=True),
)
events = st.fixed_dictionaries(
    {"specversion": st.just("1.0"), "id": st.text(), "source": st.text(), "type": st.just("t")},
    optional={
        "data": values,
        "partitionkey": st.text(),
        "time": st.text(),
        "tidemillheaders": st.text(),
        "tidemillkey": st.text(),
        "x": values,
    },
)
bodies = st.one_of(
    st.binary(max_size=60),
    requests.map(str.encode),
    events.map(json.dumps).map(str.encode),
    st.lists(events, max_size=3).map(json.dumps).map(str.encode),
    st.just(b"x" * 6000),
)
printable = st.lists(st.sampled_from([*range(0x21, 0x7F), *range(0x80, 0x100)]), max_size=8).map(bytes)
attributes = st.dictionaries(
    st.sampled_from(["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-tidemillvalue", "ce-time"]),
    st.one_of(st.just(b"1.0"), printable),
    max_size=6,
)


@FUZZ
@given(
    kind=kinds,
    body=bodies,
    extra=attributes,
    target=st.sampled_from(["produce/default/myapp/p", "service/default/myapp/s"]),
)
def test_bodies(port, client, kind, body, extra, target):
    headers = {**extra, **({"content-type": kind} if kind else {})}
    answer = client.post(f"http://127.0.0.1:{port}/api/gateways/{target}", content=body, headers=headers)
    assert answer.status_code in (200, 400, 408, 413), answer.text
    if answer.status_code == 400 and answer.content[:1] == b"{":
        told = answer.json()
        assert told.get("reason") or told.get("detail")
