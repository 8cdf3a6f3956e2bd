"""The gateway: one ASGI app for all gateways of an application.

Made by `gateway_app` in the local platform and in the gateway's container; served by `server.py`. It
routes, checks the handshake, and turns every refusal into problem JSON: nothing that a client sends
ends in a traceback. Where records come from and go to is the Broker's matter, embedded or Kafka.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from ...brokers.protocol import Broker
from ...errors import ConfigurationError
from ..http import ClientGone, Receive, Scope, Send
from . import connections, service, web
from .answers import JSON, refuse, respond
from .consume import Subscription, Tails
from .forward import forward
from .handshake import Admission, Directory, admit, required_parameters
from .limits import Limits
from .problems import Refusal, explicit
from .produce import Producer
from .routing import allow, is_socket, preflight, raw_segments, segments
from .sockets import SERVER_ERROR, Session, run_session
from .spec import GatewayPlan

log = logging.getLogger(__name__)

_SERVICE_METHODS = ("GET", "POST", "PUT", "DELETE")


def gateway_app(
    broker: Broker,
    gateways: Sequence[GatewayPlan],
    *,
    tenant: str,
    application: str,
    ready: Callable[[], bool] | None = None,
    forward: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> Gateway:
    """The gateway of an application. `ready` is asked by `/management/health`; `forward` gives the
    base URLs of service agents by agent id. Raises ConfigurationError."""
    directory = Directory(tenant, application, _checked(gateways))
    return Gateway(broker, directory, ready, forward or {}, limits or Limits())


def _checked(gateways: Sequence[GatewayPlan]) -> tuple[GatewayPlan, ...]:
    for gateway in gateways:
        _check(gateway)
    return tuple(gateways)


def _check(gateway: GatewayPlan) -> None:
    if gateway.authentication is not None:
        raise ConfigurationError(
            f"gateway '{gateway.id}' asks for authentication by '{gateway.authentication.provider}', "
            "which Tidemill does not have yet; it does not start without it",
            hint="remove 'authentication' from the gateway, or keep the application where it runs now",
        )
    if not all(_topics(gateway)) and gateway.agent_id is None:
        raise ConfigurationError(f"gateway '{gateway.id}' of type {gateway.type} has no topic")


def _topics(gateway: GatewayPlan) -> tuple[str | None, ...]:
    """Topics that must exist: first what is written to, last what is read from."""
    if gateway.type == "chat":
        return gateway.questions_topic, gateway.answers_topic
    if gateway.type == "service":
        return gateway.input_topic, gateway.output_topic
    return (gateway.topic,)


class Gateway:
    """The ASGI app. `drain` before the server stops, so that nothing accepted stays unanswered."""

    def __init__(
        self,
        broker: Broker,
        directory: Directory,
        ready: Callable[[], bool] | None,
        agents: Mapping[str, str],
        limits: Limits,
    ) -> None:
        self._broker, self._directory, self._ready = broker, directory, ready
        self._agents, self.limits = agents, limits
        self._tails = Tails(broker, limits)
        self._draining = asyncio.Event()
        self._sessions: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, _closable(send))
        else:
            await self._lifespan(receive, send)

    def replace(self, gateways: Sequence[GatewayPlan]) -> None:
        """Other gateways from now on; open sessions go on as they began. Raises ConfigurationError."""
        self._directory = replace(self._directory, gateways=_checked(gateways))

    async def drain(self) -> None:
        """Refuse new sessions, and end the open ones with 1012 once their requests are answered."""
        self._draining.set()
        sessions = self._sessions - {asyncio.current_task()}
        if sessions:
            await asyncio.wait(sessions, timeout=self.limits.drain_timeout)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.drain()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return

    # --- HTTP --------------------------------------------------------------------------------------

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def tracked(message: dict[str, Any]) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._route(scope, receive, tracked)
        except Refusal as refusal:
            await refuse(send, refusal, scope["path"])
        except (ClientGone, OSError):
            log.debug("the client left before its answer")
        except Exception:
            log.exception("a request failed: %s", scope["path"])
            if started:
                raise
            await refuse(send, Refusal(500, "the request failed; the log says why"), scope["path"])

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = segments(scope, self.limits)
        if path == ["management", "health"]:
            allow(scope, "GET", "HEAD")
            await self._health(send)
        elif path == ["management", "gateways"]:
            allow(scope, "GET", "HEAD")
            await respond(send, 200, self._listing())
        elif path[:2] == ["api", "gateways"] and len(path) >= 6 and path[2] in ("produce", "service"):
            await self._gateway(path, scope, receive, send)
        elif is_socket(path):
            allow(scope, "GET")
            raise Refusal(426, "this path speaks WebSocket", headers={"upgrade": "websocket"})
        else:
            raise Refusal(404, "there is nothing at this path")

    async def _gateway(self, path: list[str], scope: Scope, receive: Receive, send: Send) -> None:
        kind, rest = path[2], path[6:]
        if kind == "produce" and rest:
            raise Refusal(404, "there is nothing at this path")
        methods = ("POST",) if kind == "produce" else _SERVICE_METHODS
        if scope["method"] == "OPTIONS":
            await respond(send, 200, headers=preflight(methods))
            return
        allow(scope, *methods, "OPTIONS")
        gateway = self._directory.find(kind, *path[3:6])
        if gateway.agent_id is not None:
            await self._forward(gateway.agent_id, "/".join(raw_segments(scope)[6:]), scope, receive, send)
            return
        if kind == "service" and scope["method"] != "POST":
            raise explicit(400, "Only POST method is supported")
        admission = self._admit(gateway, scope)
        if kind == "produce":
            producer = self._producer(admission)
            await web.produce(scope, receive, send, producer, self.limits)
        else:
            producer = self._producer(admission, {service.REQUEST_ID: service.request_id()})
            output = gateway.output_topic or ""
            await service.call(scope, receive, send, producer, output, self._tails, self.limits)

    async def _forward(self, agent: str, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        base = self._agents.get(agent)
        if base is None:
            raise Refusal(503, f"service agent {agent} does not run here")
        await forward(scope, receive, send, base, path)

    async def _health(self, send: Send) -> None:
        up = not self._draining.is_set() and (self._ready is None or self._ready())
        await respond(send, 200 if up else 503, b'{"status":"UP"}' if up else b'{"status":"DOWN"}', JSON)

    def _listing(self) -> bytes:
        """What a client needs to know to use the gateways; not what is behind them."""
        gateways = [
            {"id": gateway.id, "type": gateway.type, "parameters": required_parameters(gateway)}
            for gateway in self._directory.gateways
        ]
        named = {"tenant": self._directory.tenant, "application": self._directory.application}
        return msgspec.json.encode({**named, "gateways": gateways})

    # --- WebSocket ---------------------------------------------------------------------------------

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        subscription = None
        try:
            if self._draining.is_set():
                raise Refusal(503, "the gateway is restarting")
            admission = self._handshake(scope)
            producer = self._producer(admission) if admission.gateway.type != "consume" else None
            # From here on nothing is missed: the client's start is fixed before it hears of it.
            subscription = self._subscribe(admission) if admission.gateway.type != "produce" else None
            await send({"type": "websocket.accept"})
        except Refusal as refusal:
            await _deny(scope, send, refusal)
            return
        except OSError:
            if subscription is not None:
                subscription.close()
            return
        session = Session(receive, send, self.limits, producer, subscription)
        await self._run(session, scope, admission)

    def _handshake(self, scope: Scope) -> Admission:
        path = segments(scope, self.limits)
        if not is_socket(path):
            raise Refusal(404, "there is nothing at this path")
        return self._admit(self._directory.find(*path[1:]), scope)

    async def _run(self, session: Session, scope: Scope, admission: Admission) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        headers = scope["headers"]
        try:
            await connections.tell(self._broker, self._directory, admission, headers, "ClientConnected")
            await run_session(session, self._draining)
        except Exception:
            log.exception("a session of gateway %s failed", admission.gateway.id)
            await session.send({"type": "websocket.close", "code": SERVER_ERROR})
        finally:
            if session.subscription is not None:
                session.subscription.close()
            await connections.tell(self._broker, self._directory, admission, headers, "ClientDisconnected")
            self._sessions.discard(task)

    # --- what both have in common ------------------------------------------------------------------

    def _admit(self, gateway: GatewayPlan, scope: Scope) -> Admission:
        try:
            admission = admit(gateway, scope["query_string"], self.limits)
            if gateway.type != "consume":
                admission.headers()
            for topic in (*_topics(gateway), gateway.events_topic):
                if topic is not None and topic not in self._broker.topics():
                    raise ValueError(f"topic {topic} does not exist")
        except ValueError as error:
            raise self._invalid(gateway, error) from error
        return admission

    def _invalid(self, gateway: GatewayPlan, error: ValueError) -> Refusal:
        where = f"(tenant: {self._directory.tenant}, appId: {self._directory.application})"
        return Refusal(400, f"Error for gateway {gateway.id} {where}: {error}")

    def _producer(self, admission: Admission, headers: Mapping[str, str] | None = None) -> Producer:
        directory, gateway = self._directory, admission.gateway
        source = f"/{directory.tenant}/{directory.application}/gateways/{gateway.id}"
        all_headers = {**admission.headers(), **(headers or {})}
        return Producer(self._broker, _topics(gateway)[0] or "", source, all_headers)

    def _subscribe(self, admission: Admission) -> Subscription:
        topic = _topics(admission.gateway)[-1] or ""
        try:
            return self._tails.subscribe(topic, admission.position, admission.filter())
        except ValueError as error:
            raise self._invalid(admission.gateway, error) from error


def _closable(send: Send) -> Send:
    """`send` with one error for 'the client has gone': servers differ in what they raise."""

    async def guarded(message: dict[str, Any]) -> None:
        try:
            await send(message)
        except RuntimeError as error:
            raise ConnectionResetError("the connection is closed") from error

    return guarded


async def _deny(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Answer a handshake with the status and reason; a server without that extension says 403."""
    try:
        if "websocket.http.response" in scope.get("extensions", {}):
            await refuse(send, refusal, scope["path"], prefix="websocket.http.response")
        else:
            await send({"type": "websocket.close", "code": 1008})
    except OSError:
        log.debug("the client left before its answer")
