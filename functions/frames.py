"""What the local dispatcher and a worker say to each other over their socket.

A frame is a length (4 bytes, big-endian) and a MessagePack list of messages. Many deliveries and
many results travel in one frame; each is answered on its own, in any order. Used by `worker.py`
below and `local/pool.py` above.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ..errors import TidemillError
from ..record import Event

MAX_FRAME = 256 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class Message(msgspec.Struct, frozen=True, array_like=True):
    """Base of the messages below."""


class Hello(Message, frozen=True, array_like=True, tag="hello"):
    """Worker to dispatcher, first: which unit it serves, its secret from the spawn order, its room."""

    unit: str
    pass_code: str
    pid: int
    capacity: int


class Deliver(Message, frozen=True, array_like=True, tag="deliver"):
    """Dispatcher to worker: process the event in `blob` (MessagePack of an Event)."""

    token: int
    topic: str
    timestamp: int
    blob: bytes
    state: bytes | None = None


class Finished(Message, frozen=True, array_like=True, tag="done"):
    """Worker to dispatcher: outputs as (topic, event)."""

    token: int
    outputs: Sequence[tuple[str, Event]] = ()


class Refused(Message, frozen=True, array_like=True, tag="failed"):
    """Worker to dispatcher: the attempt failed (outcome.Failed)."""

    token: int
    message: str
    error_class: str
    kind: str
    permanent: bool
    causes: Sequence[tuple[str, str]] = ()


class Later(Message, frozen=True, array_like=True, tag="busy"):
    """Worker to dispatcher: not attempted (outcome.Busy)."""

    token: int
    retry_after: float


class Publish(Message, frozen=True, array_like=True, tag="publish"):
    """Worker to dispatcher: write these events now; answered by Published."""

    request: int
    topic: str
    events: Sequence[Event]


class Published(Message, frozen=True, array_like=True, tag="published"):
    """Dispatcher to worker: the events are durable, or why not."""

    request: int
    error: str | None = None


class AskInfo(Message, frozen=True, array_like=True, tag="info?"):
    """Dispatcher to worker: what is going on there?"""


class Info(Message, frozen=True, array_like=True, tag="info"):
    """Worker to dispatcher: the host's /info and its counters, as JSON values."""

    info: list[dict[str, Any]]
    metrics: list[tuple[str, str, float]]


class Stop(Message, frozen=True, array_like=True, tag="stop"):
    """Dispatcher to worker: finish what you hold, close the agents, and end."""


AnyMessage = Hello | Deliver | Finished | Refused | Later | Publish | Published | AskInfo | Info | Stop

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[AnyMessage])
decode_event = msgspec.msgpack.Decoder(Event).decode


def encode(messages: Sequence[Message]) -> bytes:
    """One frame."""
    buffer = bytearray(4)
    _encoder.encode_into(messages, buffer, 4)
    _LENGTH.pack_into(buffer, 0, len(buffer) - 4)
    return bytes(buffer)


class Reader:
    """Cuts a stream of bytes into frames and hands over their messages."""

    def __init__(self, receive: Callable[[Any], None]) -> None:
        self._receive = receive
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """More bytes. Raises TidemillError when they are no frame of ours."""
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        while end - start >= 4:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > MAX_FRAME:
                raise TidemillError(f"a frame of {length} bytes is over the limit of {MAX_FRAME}")
            if end - start - 4 < length:
                break
            with memoryview(buffer) as view:
                messages = _decode(view[start + 4 : start + 4 + length])
            start += 4 + length
            for message in messages:
                self._receive(message)
        if start:
            del buffer[:start]


def _decode(frame: memoryview) -> list[Any]:
    with frame:
        try:
            return _decoder.decode(frame)
        except msgspec.MsgspecError as error:
            raise TidemillError(f"a frame cannot be read: {error}") from error
