"""A gateway that is served by a real uvicorn on a free port, over an in-memory broker."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
import websockets

from tidemill.brokers.protocol import Position, Stored, TopicConfig
from tidemill.errors import NotFound
from tidemill.functions.gateway.app import Gateway, gateway_app
from tidemill.functions.gateway.limits import Limits
from tidemill.functions.gateway.server import GatewayServer
from tidemill.functions.gateway.spec import GatewayPlan, HeaderSpec
from tidemill.record import Record, to_event, to_record, topic_form

SESSION = HeaderSpec(key="langstream-client-session-id", from_parameter="sessionId")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Tests of this folder may be coroutines: each runs in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


class MemoryBroker:
    """What the gateway uses of a Broker, in lists."""

    def __init__(self, topics: dict[str, int]) -> None:
        self._topics = {name: TopicConfig(name, count) for name, count in topics.items()}
        self.logs: dict[str, list[list[Stored]]] = {
            name: [[] for _ in range(count)] for name, count in topics.items()
        }
        self.first: dict[tuple[str, int], int] = defaultdict(int)
        self._ids: dict[tuple[str, str, str], Position] = {}
        self._grown = asyncio.Condition()
        self.publishing = asyncio.Event()  # cleared by a test that wants writes to hang
        self.publishing.set()
        self.hanging = asyncio.Event()  # set while a write hangs
        self.broken: Exception | None = None
        self.reads = 0

    def topics(self) -> dict[str, TopicConfig]:
        return self._topics

    async def publish(self, topic: str, events: Any) -> list[Position]:
        if topic not in self._topics:
            raise NotFound("topic", topic, self._topics)
        if self.broken:
            raise self.broken
        positions = [self._append(topic, event) for event in events]
        async with self._grown:
            self._grown.notify_all()
        if not self.publishing.is_set():
            self.hanging.set()
            await self.publishing.wait()
        return positions

    def _append(self, topic: str, event: Any) -> Position:
        known = (topic, event.source, event.id)
        if known not in self._ids:
            logs = self.logs[topic]
            key = event.partition_key
            partition = (sum(map(len, logs)) if key is None else hash(key)) % len(logs)
            log = logs[partition]
            offset = self.first[topic, partition] + len(log)
            blob = msgspec.msgpack.encode(event)
            log.append(Stored(topic, partition, offset, 0, key, blob))
            self._ids[known] = Position(partition, offset)
        return self._ids[known]

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Stored]:
        self.reads += 1
        if self.broken:
            raise self.broken
        await asyncio.sleep(0)
        start = max(0, offset - self.first[topic, partition])
        return self.logs[topic][partition][start : start + limit]

    def bounds(self, topic: str) -> list[tuple[int, int]]:
        if topic not in self._topics:
            raise NotFound("topic", topic, self._topics)
        firsts = [self.first[topic, p] for p in range(len(self.logs[topic]))]
        return [(first, first + len(log)) for first, log in zip(firsts, self.logs[topic], strict=True)]

    async def wait(self, topic: str, partition: int, offset: int) -> None:
        async with self._grown:
            await self._grown.wait_for(lambda: self.broken or self.bounds(topic)[partition][1] > offset)


@dataclass
class Running:
    """A served gateway and what tests do with it."""

    broker: MemoryBroker
    app: Gateway
    server: GatewayServer
    port: int
    sent: int = 0
    stopping: asyncio.Task[None] | None = field(default=None)

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def path(self, kind: str, gateway: str, application: str = "myapp", **query: str) -> str:
        pairs = "&".join(f"{quote(name.replace('__', ':'))}={quote(value)}" for name, value in query.items())
        return f"ws://127.0.0.1:{self.port}/v1/{kind}/default/{application}/{gateway}?{pairs}"

    def connect(self, kind: str, gateway: str, *, reads_ahead: int | None = None, **query: str) -> Any:
        """A client. One that has read ahead all it may cannot see the server's close."""
        return websockets.connect(
            self.path(kind, gateway, **query), max_size=None, max_queue=reads_ahead, compression=None
        )

    async def write(self, topic: str, *values: Any, **headers: Any) -> None:
        """Records as an agent writes them."""
        named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        for value in values:
            self.sent += 1
            record = Record(topic_form(value), None, named)
            await self.broker.publish(topic, [to_event(record, id=str(self.sent), source="/test")])

    def records(self, topic: str) -> list[Record]:
        return [to_record(stored.event()) for log in self.broker.logs[topic] for stored in log]

    def stop(self) -> asyncio.Task[None]:
        """Begin the shutdown that a signal would begin."""
        self.server.should_exit = True
        assert self.stopping is not None
        return self.stopping


@asynccontextmanager
async def _serving(
    *gateways: GatewayPlan, topics: dict[str, int] | None = None, limits: Limits | None = None, **options: Any
):
    broker = MemoryBroker(topics or {"questions": 3, "answers": 3, "in": 1, "out": 2, "events": 1})
    app = gateway_app(broker, gateways, tenant="default", application="myapp", limits=limits, **options)
    server = GatewayServer(app, port=0)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    port = server.servers[0].sockets[0].getsockname()[1]
    running = Running(broker, app, server, port, stopping=task)
    try:
        yield running
    finally:
        server.should_exit = True
        await task


@pytest.fixture
def serving():
    return _serving


@pytest.fixture
def talk():
    """The chat gateway of the manual's session."""
    return GatewayPlan(
        id="talk", type="chat", questions_topic="questions", answers_topic="answers", headers=(SESSION,)
    )


@pytest.fixture
def session_header():
    return SESSION


@pytest.fixture
def receive():
    async def next_json(socket: Any) -> Any:
        return json.loads(await asyncio.wait_for(socket.recv(), 10))

    return next_json


@pytest.fixture
def refusal():
    """Status and problem of a handshake that is refused."""

    async def attempt(url: str) -> tuple[int, dict[str, Any]]:
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with websockets.connect(url):
                pass
        response = caught.value.response
        assert response.headers["content-type"] == "application/problem+json"
        return response.status_code, json.loads(response.body)

    return attempt


@pytest.fixture
def client():
    return lambda: httpx.AsyncClient(timeout=10, trust_env=False)
