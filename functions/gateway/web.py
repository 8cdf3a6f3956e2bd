"""HTTP produce: one request, one answer.

Called by `app.py` for `POST /api/gateways/produce/…`. Whatever is wrong with the request's content is
answered 400 in the form of a produce answer; a topic that cannot be written is 500 in the same form.
"""

from __future__ import annotations

from ...errors import EventError, RecordError
from ..http import Receive, Scope, Send
from .answers import read_body, respond
from .limits import Limits
from .produce import ACCEPTED, Answer, Producer

_STATUS = {"OK": 200, "BAD_REQUEST": 400, "PRODUCER_ERROR": 500}


async def produce(scope: Scope, receive: Receive, send: Send, producer: Producer, limits: Limits) -> None:
    """Write what the body holds, and answer when it is durable. Raises Refusal."""
    body = await read_body(receive, limits.message)
    await answer(send, await _produce(scope, body, producer))


async def _produce(scope: Scope, body: bytes, producer: Producer) -> Answer:
    try:
        events = producer.from_http(scope["headers"], body)
    except (RecordError, EventError) as error:
        return Answer("BAD_REQUEST", error.message)
    return await producer.publish(events) if events else ACCEPTED


async def answer(send: Send, given: Answer) -> None:
    """A produce answer over HTTP."""
    await respond(send, _STATUS[given.status], given.text().encode())
