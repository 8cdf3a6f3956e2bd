"""Addresses, queries, methods: what is refused, with which status and words."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tidemill.errors import ConfigurationError
from tidemill.functions.gateway.app import gateway_app
from tidemill.functions.gateway.limits import Limits
from tidemill.functions.gateway.spec import AuthenticationSpec, GatewayPlan, HeaderSpec

PRODUCE = GatewayPlan(id="p", type="produce", topic="questions", parameters=("user", "room"))
CONSUME = GatewayPlan(id="c", type="consume", topic="answers")
LOST = GatewayPlan(id="lost", type="consume", topic="nowhere")
EMPTY = GatewayPlan(
    id="empty", type="produce", topic="questions", headers=(HeaderSpec(key="h", from_parameter="undeclared"),)
)
GATEWAYS = (PRODUCE, CONSUME, LOST, EMPTY)
INVALID = (
    "invalid query parameter {}. To specify a gateway parameter, use the format param:<parameter_name>. "
    "To specify an option, use the format option:<option_name>."
)

CASES = [
    ("produce", "p", "", "missing required parameter user. Required parameters: [user, room]"),
    (
        "produce", "p", "param:user=u&param:room=%20",
        "missing required parameter room. Required parameters: [user, room]",
    ),
    ("produce", "p", "param:user=u&param:room=r&param:x=1&param%3Ay=", "unknown parameters: [x, y]"),
    ("produce", "p", "user=u", INVALID.format("user")),
    ("produce", "p", "param:user=u&param:room=r&option:position=latest", "Unknown option position"),
    (
        "produce", "p", "credentials=a&test-credentials=b",
        "credentials and test-credentials cannot be used together",
    ),
    ("produce", "empty", "", "header h cannot be empty"),
    ("consume", "c", "option:position=", "'position' cannot be blank"),
    ("consume", "c", "option:position=%20", "'position' cannot be blank"),
    ("consume", "c", "option:speed=1", "Unknown option speed"),
    ("consume", "c", "param:x=%ff", "the query is not text in UTF-8"),
    ("consume", "c", "&".join(f"param:p{n}=" for n in range(101)), "the query has more than 100 parameters"),
    ("consume", "lost", "", "topic nowhere does not exist"),
]  # fmt: skip


async def test_wrong_queries(serving, refusal, client):
    async with serving(*GATEWAYS) as run, client() as http:
        for kind, gateway, query, reason in CASES:
            detail = f"Error for gateway {gateway} (tenant: default, appId: myapp): {reason}"
            path = f"/v1/{kind}/default/myapp/{gateway}"
            status, problem = await refusal(f"ws://127.0.0.1:{run.port}{path}?{query}")
            assert (status, problem["detail"], problem["instance"]) == (400, detail, path)
            if kind == "produce":
                url = f"{run.http}/api/gateways/produce/default/myapp/{gateway}?{query}"
                answer = await http.post(url, content="v")
                assert (answer.status_code, answer.json()["detail"]) == (400, detail)


async def test_wrong_addresses(serving, refusal):
    cases = [
        ("/v1/produce/default/other/p", 400, "application other not found"),
        ("/v1/produce/elsewhere/myapp/p", 400, "application myapp not found"),
        ("/v1/produce/default/myapp/q", 400, "gateway q of type produce is not defined in the application"),
        ("/v1/chat/default/myapp/p", 400, "gateway p of type chat is not defined in the application"),
        ("/v1/service/default/myapp/p", 404, "there is nothing at this path"),
        ("/v1/produce/default/myapp", 404, "there is nothing at this path"),
        ("/v1/produce/default/myapp/p/", 404, "there is nothing at this path"),
        ("/produce/default/myapp/p", 404, "there is nothing at this path"),
        ("/", 404, "there is nothing at this path"),
        ("/v1/consume/default/myapp/" + "x" * 8_000, 414, "path and query may have at most 8000 bytes"),
    ]
    async with serving(*GATEWAYS) as run:
        for path, status, detail in cases:
            found, problem = await refusal(f"ws://127.0.0.1:{run.port}{path}")
            assert (found, problem["detail"]) == (status, detail)


async def test_an_application_without_gateways(serving, refusal):
    async with serving() as run:
        _, problem = await refusal(run.path("chat", "talk"))
        assert problem["detail"] == "no gateways defined for the application"


async def test_methods_and_paths(serving, client):
    cases = [
        ("GET", "/api/gateways/produce/default/myapp/p", 405, "POST, OPTIONS"),
        ("PATCH", "/api/gateways/service/default/myapp/p", 405, "GET, POST, PUT, DELETE, OPTIONS"),
        ("POST", "/management/health", 405, "GET, HEAD"),
        ("POST", "/v1/chat/default/myapp/p", 405, "GET"),
        ("GET", "/v1/chat/default/myapp/p", 426, None),
        ("GET", "/api/gateways/consume/default/myapp/p", 404, None),
        ("POST", "/api/gateways/produce/default/myapp/p/sub", 404, None),
        ("GET", "/management", 404, None),
        ("POST", "/api/gateways/produce/default/myapp/q", 400, None),
        ("POST", "/api/gateways/service/default/myapp/p", 400, None),
        ("OPTIONS", "/api/gateways/produce/default/myapp/p", 200, None),
        ("HEAD", "/management/health", 200, None),
    ]
    async with serving(*GATEWAYS) as run, client() as http:
        for method, path, status, allow in cases:
            answer = await http.request(method, run.http + path)
            assert (answer.status_code, answer.headers.get("allow")) == (status, allow), (method, path)
            assert answer.headers["access-control-allow-origin"] == "*"
            if status == 426:
                assert answer.headers["upgrade"] == "websocket"


async def test_ids_may_hold_any_character(serving, receive):
    gateway = GatewayPlan(id="a/b ü?", type="produce", topic="questions")
    async with serving(gateway) as run, run.connect("produce", "a%2Fb%20%C3%BC%3F") as socket:
        await socket.send('{"value":"v"}')
        assert (await receive(socket))["status"] == "OK"


async def test_credentials_are_ignored_without_authentication(serving, client):
    async with serving(CONSUME) as run:
        for name in ("credentials", "test_credentials"):
            async with run.connect("consume", "c", **{name.replace("_", "-"): "x"}):
                pass


async def test_health_follows_the_platform(serving, client):
    ready = False
    async with serving(CONSUME, ready=lambda: ready) as run, client() as http:
        answer = await http.get(run.http + "/management/health")
        assert (answer.status_code, answer.json()) == (503, {"status": "DOWN"})
        ready = True
        answer = await http.get(run.http + "/management/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "UP"})
        await run.app.drain()
        assert (await http.get(run.http + "/management/health")).status_code == 503


async def test_the_listing_tells_what_clients_need(serving, client, talk):
    async with serving(PRODUCE, talk) as run, client() as http:
        assert (await http.get(run.http + "/management/gateways")).json() == {
            "tenant": "default",
            "application": "myapp",
            "gateways": [
                {"id": "p", "type": "produce", "parameters": ["user", "room"]},
                {"id": "talk", "type": "chat", "parameters": ["sessionId"]},
            ],
        }


async def test_gateways_may_be_replaced(serving, refusal, receive):
    async with serving(CONSUME) as run, run.connect("consume", "c") as socket:
        run.app.replace([PRODUCE])
        status, _ = await refusal(run.path("consume", "c"))
        assert status == 400
        async with run.connect("produce", "p", param__user="u", param__room="r"):
            pass
        await run.write("answers", "still here")
        assert (await receive(socket))["record"]["value"] == "still here"
        guarded = GatewayPlan(
            id="g", type="consume", topic="t", authentication=AuthenticationSpec(provider="jwt")
        )
        with pytest.raises(ConfigurationError):
            run.app.replace([guarded])
        async with run.connect("produce", "p", param__user="u", param__room="r"):
            pass


def test_authentication_is_refused_at_the_start():
    gateway = GatewayPlan(
        id="guarded", type="produce", topic="t", authentication=AuthenticationSpec(provider="google")
    )
    with pytest.raises(ConfigurationError, match="gateway 'guarded' asks for authentication by 'google'"):
        gateway_app(None, [gateway], tenant="default", application="a")  # type: ignore[arg-type]


def test_a_gateway_without_topic_is_refused_at_the_start():
    with pytest.raises(ConfigurationError, match="gateway 'x' of type chat has no topic"):
        gateway_app(
            None,  # type: ignore[arg-type]
            [GatewayPlan(id="x", type="chat", questions_topic="t")],
            tenant="default",
            application="a",
        )


UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
RAW = [
    b"POST /v1/chat/default/myapp/talk HTTP/1.1\r\n" + UPGRADE,
    b"GET /v1/chat/default/myapp/talk HTTP/1.1\r\n" + UPGRADE,
    b"GET /v1/chat/default/myapp/talk HTTP/1.0\r\n" + UPGRADE,
    b"GET /v1/\xc3\xa9 HTTP/1.1\r\n" + UPGRADE,
    b"GET /v1/chat/default/myapp/talk?\xff HTTP/1.1\r\n",
    b"GET /v1/chat/default/myapp/%ff%00 HTTP/1.1\r\n",
    b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n" + UPGRADE,
    b"GET / HTTP/1.1\r\n" + UPGRADE + b"A: b\r\n" * 200,
    b"BREW / HTTP/1.1\r\n",
    b"\x00\x01\x02\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 40_000,
    b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000,
    b"GET /" + b"y" * 200_000,
    b"POST /api/gateways/produce/default/myapp/p HTTP/1.1\r\nContent-Length: -1\r\n",
    b"POST /api/gateways/produce/default/myapp/p HTTP/1.1\r\nContent-Length: x\r\n",
]


async def test_raw_requests_get_a_4xx(serving, caplog):
    async with serving(*GATEWAYS, limits=Limits(message=1000)) as run:
        for head in RAW:
            reader, writer = await asyncio.open_connection("127.0.0.1", run.port)
            writer.write(head + b"Host: x\r\nSec-WebSocket-Version: 13\r\n\r\n")
            status = await asyncio.wait_for(reader.readline(), 5)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            assert status.startswith(b"HTTP/1.1 4"), (head[:80], status)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
