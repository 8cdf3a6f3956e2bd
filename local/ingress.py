"""The Brokers' ingress on this machine: POST /<tenant>/<broker or topic> with one CloudEvent.

Served by `platform.py`. It answers as Knative's Kafka Broker does: 202 when the event is durable,
400 for what is no event, 404 for an unknown broker, 405 for other methods, 503 when nothing could be
written; besides, 413 for an event over the limit, because trying again would not help.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..bindings import from_http
from ..brokers.protocol import Broker
from ..errors import EventError, TidemillError, nearest
from ..functions.http import (
    App,
    BodyTooLarge,
    ClientGone,
    Receive,
    Scope,
    Send,
    answer,
    answer_json,
    answer_text,
    lifespan,
    read_body,
)


def ingress_app(
    broker: Broker, tenant: str, topics: Mapping[str, str], status: Callable[[], dict[str, Any]]
) -> App:
    """The ASGI app. `topics` maps the name of every Broker, and of every topic, to the topic; GET /info
    answers with `status`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        if scope["method"] == "GET" and scope["path"] == "/info":
            await answer_json(send, 200, status())
            return
        topic = await _topic(scope, send, tenant, topics)
        if topic is not None:
            await _accept(scope, receive, send, broker, topic)

    return app


async def _topic(scope: Scope, send: Send, tenant: str, topics: Mapping[str, str]) -> str | None:
    if scope["method"] != "POST":
        await answer(send, 405, b"only POST publishes", ((b"allow", b"POST"),))
        return None
    parts = scope["path"].strip("/").split("/")
    if len(parts) == 2 and parts[0] == tenant and parts[1] in topics:
        return topics[parts[1]]
    guess = nearest(parts[-1], topics)
    hint = f"; did you mean /{tenant}/{guess}?" if guess else ""
    await answer_text(send, 404, f"no broker at {scope['path'][:200]}{hint}")
    return None


async def _accept(scope: Scope, receive: Receive, send: Send, broker: Broker, topic: str) -> None:
    try:
        body = await read_body(receive)
        event = from_http(scope["headers"], body, percent_encoded=True)
    except ClientGone:
        return
    except BodyTooLarge as error:
        await answer_text(send, 413, str(error))
        return
    except EventError as error:
        await answer_text(send, 400, error.message)
        return
    try:
        await broker.publish(topic, [event])
    except TidemillError as error:
        await answer_text(send, 503, error.message)
        return
    await answer(send, 202)
