"""A gateway that is served by a real uvicorn on a free port, over the embedded broker."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import uuid
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import websockets

from tidemill.brokers.embedded import EmbeddedBroker
from tidemill.brokers.protocol import Position, Stored, TopicConfig
from tidemill.functions.gateway.app import Gateway, gateway_app
from tidemill.functions.gateway.server import GatewayServer
from tidemill.functions.gateway.spec import GatewayPlan, HeaderSpec
from tidemill.record import Event, Record, to_event, to_record, topic_form

TOPICS = {"questions": 3, "answers": 3, "in": 1, "out": 2, "events": 1}
SESSION = HeaderSpec(key="langstream-client-session-id", from_parameter="sessionId")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Tests of this folder may be coroutines: each runs in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


class Broker(EmbeddedBroker):
    """The embedded broker, whose writes a test can hold up and whose disk it can break."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.publishing = asyncio.Event()  # cleared: writes are stored, but not acknowledged
        self.publishing.set()
        self.hanging = asyncio.Event()  # set when a write hangs so
        self.broken: Exception | None = None

    async def publish(self, topic: str, events: Sequence[Event]) -> Sequence[Position]:
        if self.broken:
            raise self.broken
        positions = await super().publish(topic, events)
        if not self.publishing.is_set():
            self.hanging.set()
            await self.publishing.wait()
        return positions

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> Sequence[Stored]:
        if self.broken:
            raise self.broken
        return await super().read(topic, partition, offset, limit)


@dataclass
class Running:
    """A served gateway and what tests do with it."""

    broker: Broker
    app: Gateway
    server: GatewayServer
    port: int
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
        records = [Record(topic_form(value), None, named) for value in values]
        events = [to_event(record, id=uuid.uuid4().hex, source="/test") for record in records]
        await EmbeddedBroker.publish(self.broker, topic, events)

    async def records(self, topic: str) -> list[Record]:
        """All of a topic, partition by partition."""
        found: list[Record] = []
        for partition in range(len(self.broker.bounds(topic))):
            stored = await EmbeddedBroker.read(self.broker, topic, partition, 0, 10_000)
            found += [to_record(each.event()) for each in stored]
        return found

    def stop(self) -> asyncio.Task[None]:
        """Begin the shutdown that a signal would begin."""
        self.server.should_exit = True
        assert self.stopping is not None
        return self.stopping


@asynccontextmanager
async def _serving(
    folder: Path,
    *gateways: GatewayPlan,
    topics: dict[str, int] | None = None,
    config: dict[str, str] | None = None,
    **options: Any,
):
    broker = Broker(folder)
    for name, count in (topics or TOPICS).items():
        await broker.create_topic(TopicConfig(name, count, config or {}))
    app = gateway_app(broker, gateways, tenant="default", application="myapp", **options)
    server = GatewayServer(app, port=0)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.001)  # uvicorn offers no event
    port = server.servers[0].sockets[0].getsockname()[1]
    running = Running(broker, app, server, port, stopping=task)
    try:
        yield running
    finally:
        server.should_exit = True
        await task
        await broker.close()


class Hurried:
    """asyncio for uvicorn's server, which looks for its end ten times a second only."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 50)


@pytest.fixture
def serving(tmp_path, monkeypatch):
    monkeypatch.setattr("uvicorn.server.asyncio", Hurried())
    return functools.partial(_serving, tmp_path)


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
    return lambda: httpx.AsyncClient(timeout=10, trust_env=False, verify=False)
