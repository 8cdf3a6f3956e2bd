"""A WebSocket session: produce, consume, or both at once (chat).

`run_session` is called by `app.py` once the handshake is accepted and ends with the connection.
Invariants: requests of a socket are written and answered in their order; an acknowledgement is sent
before any record that came after it was written, because pushes wait while a write is under way;
every request that was written is answered before the session is drained.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field

from ...errors import RecordError
from ...record import Event
from ..http import Receive, Send
from .consume import Subscription
from .limits import Limits
from .produce import ACCEPTED, Answer, Producer

log = logging.getLogger(__name__)

NOT_ACCEPTABLE, POLICY, TOO_BIG, SERVER_ERROR, RESTART = 1003, 1008, 1009, 1011, 1012

_REASONS = {
    NOT_ACCEPTABLE: "only text messages are accepted",
    TOO_BIG: "the message is too large",
    SERVER_ERROR: "the topic cannot be read",
    RESTART: "the gateway is restarting",
}


@dataclass(slots=True)
class Session:
    """One accepted connection. A consumer has a subscription, a producer a producer, a chat both."""

    receive: Receive
    send: Send
    limits: Limits
    producer: Producer | None
    subscription: Subscription | None
    inbox: asyncio.Queue[str | None] = field(init=False)
    # Held while requests are written and answered, and for each push: see the module's invariants.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.inbox = asyncio.Queue(self.limits.inbox)


async def run_session(session: Session, drain: asyncio.Event) -> None:
    """Serve until the client leaves, breaks a rule, the topic fails, or the gateway drains."""
    reader = asyncio.create_task(_read(session))
    answerer = asyncio.create_task(_answer(session))
    pusher = asyncio.create_task(_push(session))
    drained = asyncio.create_task(drain.wait())
    try:
        await asyncio.wait({reader, answerer, pusher, drained}, return_when=asyncio.FIRST_COMPLETED)
        if answerer.done():
            answerer.result()
        code = _close_code(reader, pusher)
        reader.cancel()
        await asyncio.wait({reader})
        await session.inbox.put(None)
        await answerer
        pusher.cancel()
        if code is not None:
            await session.send({"type": "websocket.close", "code": code, "reason": _REASONS[code]})
    except OSError:
        log.debug("the client left before its answers")
    finally:
        for task in (reader, answerer, pusher, drained):
            task.cancel()
        await asyncio.gather(reader, answerer, pusher, drained, return_exceptions=True)


def _close_code(reader: asyncio.Task[int | None], pusher: asyncio.Task[None]) -> int | None:
    """What to tell the client at the end; None when it has gone itself."""
    if reader.done():
        return reader.result()
    if not pusher.done():
        return RESTART
    error = pusher.exception()
    if isinstance(error, OSError):
        return None
    log.error("a consumer's topic cannot be read", exc_info=error)
    return SERVER_ERROR


async def _read(session: Session) -> int | None:
    """Take requests in, until the client leaves (None) or breaks a rule (the close code)."""
    while True:
        message = await session.receive()
        if message["type"] == "websocket.disconnect":
            return None
        if session.producer is None:
            continue  # a consumer has nothing to say; LangStream ignores it too
        text = message.get("text")
        if text is None:
            return NOT_ACCEPTABLE
        if len(text) > session.limits.message or len(text.encode()) > session.limits.message:
            return TOO_BIG
        await session.inbox.put(text)


async def _answer(session: Session) -> None:
    """Write requests and answer them, those that wait in one go. They are written even when the
    client has left since: it has sent them."""
    while True:
        requests, last = await _waiting(session.inbox)
        producer = session.producer
        if requests and producer is not None:
            async with session.turn:
                for answer in await _write(producer, requests):
                    with contextlib.suppress(OSError):
                        await session.send({"type": "websocket.send", "text": answer.text()})
        if last:
            return


async def _waiting(inbox: asyncio.Queue[str | None]) -> tuple[list[str], bool]:
    """All requests in the inbox, at least one, and whether it ends there."""
    requests: list[str] = []
    item = await inbox.get()
    while item is not None:
        requests.append(item)
        if inbox.empty():
            return requests, False
        item = inbox.get_nowait()
    return requests, True


async def _write(producer: Producer, requests: list[str]) -> list[Answer]:
    events: list[Event] = []
    answers: list[Answer | None] = []
    for request in requests:
        try:
            events.append(producer.from_json(request))
            answers.append(None)
        except RecordError as error:
            answers.append(Answer("BAD_REQUEST", error.message))
    written = await producer.publish(events) if events else ACCEPTED
    return [answer or written for answer in answers]


async def _push(session: Session) -> None:
    if session.subscription is None:
        await asyncio.Event().wait()
        return
    while True:
        text = await session.subscription.next()
        async with session.turn:
            await session.send({"type": "websocket.send", "text": text})
