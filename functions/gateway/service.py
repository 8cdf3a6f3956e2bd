"""Service gateways over topics: a request goes to one topic, its answer comes from another.

Called by `app.py`. The reader of the output topic stands before the request is written, so no answer
can be missed; the two are joined by a header with a fresh id, which agents keep.
"""

from __future__ import annotations

import asyncio
import uuid

from ...errors import EventError, RecordError
from ..http import ClientGone, Receive, Scope, Send
from .answers import JSON, read_body, respond
from .consume import Subscription, Tails
from .limits import Limits
from .problems import Refusal
from .produce import ACCEPTED, Answer, Producer
from .web import answer

REQUEST_ID = "langstream-service-request-id"


async def call(
    scope: Scope, receive: Receive, send: Send, producer: Producer, output: str, tails: Tails, limits: Limits
) -> None:
    """Ask and wait for the answer. `producer` sets its headers and REQUEST_ID. Raises Refusal."""
    body = await read_body(receive, limits.message)
    subscription = tails.subscribe(output, "latest", ((REQUEST_ID, producer.headers[REQUEST_ID]),))
    try:
        written = await _ask(scope, body, producer)
        if written != ACCEPTED:
            await answer(send, written)
            return
        push = await _wait(receive, subscription, limits.service_timeout)
    finally:
        subscription.close()
    await respond(send, 200, push.encode(), JSON)


def request_id() -> str:
    """The id that joins a request with its answer."""
    return str(uuid.uuid4())


async def _ask(scope: Scope, body: bytes, producer: Producer) -> Answer:
    try:
        events = producer.from_http(scope["headers"], body)
    except (RecordError, EventError) as error:
        return Answer("BAD_REQUEST", error.message)
    if len(events) != 1:
        return Answer("BAD_REQUEST", "A service request is one record.")
    return await producer.publish(events)


async def _wait(receive: Receive, subscription: Subscription, timeout: float) -> str:
    """The first answer; gives up when time is over or the client leaves."""
    first = asyncio.create_task(subscription.next())
    gone = asyncio.create_task(_disconnect(receive))
    try:
        await asyncio.wait({first, gone}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if first.done():
            return first.result()
        if gone.done():
            raise ClientGone
        raise Refusal(408, "Request timed out")
    finally:
        first.cancel()
        gone.cancel()
        await asyncio.gather(first, gone, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
