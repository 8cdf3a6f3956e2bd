"""An answer on its way: the pieces of a model in growing messages on a topic.

Used by the completion agents. Messages carry the input's key and headers, and three headers by which
a client puts them together. They are written in order, each before the next is made, and all before
the agent's result. They cannot be taken back: an attempt that fails later has written them.
"""

from __future__ import annotations

from uuid import uuid4

from ....record import STREAM_ID, Record
from ...api import Context
from ...context import open_record, write_field


class Grouping:
    """Joins pieces: one, two, four … to a message, up to `most`. Empty pieces are not counted."""

    def __init__(self, most: int) -> None:
        self._most = max(1, most)
        self._wanted = 1
        self._pieces: list[str] = []

    def add(self, piece: str) -> str | None:
        """A message, if this piece completes it."""
        if piece:
            self._pieces.append(piece)
        if not piece or len(self._pieces) < self._wanted:
            return None
        self._wanted = min(self._wanted * 2, self._most)
        return self.rest()

    def rest(self) -> str:
        """What has not been part of a message yet."""
        text = "".join(self._pieces)
        self._pieces.clear()
        return text


class ChunkWriter:
    """Writes one answer's messages; each is a copy of `record` with its text at `field`."""

    def __init__(self, context: Context, topic: str, field: str | None, most: int, record: Record) -> None:
        self._context, self._topic, self._field, self._record = context, topic, field, record
        self._grouping = Grouping(most)
        self._stream = ""
        self._index = 0

    async def add(self, answer_id: str | None, piece: str) -> None:
        """The next piece of the answer with that id."""
        self._stream = self._stream or answer_id or uuid4().hex
        message = self._grouping.add(piece)
        if message is not None:
            await self._write(message, last=False)

    async def end(self) -> None:
        """The last message, which may be empty."""
        self._stream = self._stream or uuid4().hex
        await self._write(self._grouping.rest(), last=True)

    async def _write(self, text: str, *, last: bool) -> None:
        self._index += 1
        chunk = open_record(self._record)
        write_field(chunk, self._field, text)
        chunk.properties |= {
            STREAM_ID: self._stream,
            "stream-index": str(self._index),
            "stream-last-message": "true" if last else "false",
        }
        # The answer's id is part of the events' ids: another answer to the same record is another stream.
        await self._context.publish(self._topic, chunk.closed(), channel=f"stream {self._stream}")
