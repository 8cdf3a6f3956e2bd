"""What every worker does at its start and for a record, done once before workers are forked.

Called by `local/parent.py` when everything is imported. It plays a unit of one agent through the real
path, from the first line of `worker.serve` to its last, with itself as the dispatcher. Afterwards types
are compiled, caches filled and bytecode specialised in memory that all forks share: each is ready
sooner and keeps less for itself. The event loop is closed and no thread is left.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import msgspec

from ..record import Record, to_event
from . import frames
from .environment import Environment
from .unit import AgentSpec, UnitSpec, read_unit, write_unit
from .worker import serve

RECORDS = 32  # bytecode is specialised after a few passes

_UNIT = UnitSpec(id="unit", kind="processor", agents=(AgentSpec(id="a", type="identity"),), output="out")


def rehearse() -> None:
    """Raises when a worker could not work here at all."""
    import uvloop

    uvloop.run(_play())


async def _play() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with theirs:
        unit = read_unit(write_unit(_UNIT))
        working = loop.create_task(serve(unit, Environment(Path()), ours, ""))
        heard: list[Any] = []
        reader = frames.Reader(heard.append)
        reader.feed(await loop.sock_recv(theirs, 65536))  # Hello
        for message in (*map(_delivery, range(RECORDS)), frames.AskInfo()):
            await loop.sock_sendall(theirs, frames.encode([message]))
            reader.feed(await loop.sock_recv(theirs, 65536))
        await loop.sock_sendall(theirs, frames.encode([frames.Stop()]))
        await working


def _delivery(number: int) -> frames.Deliver:
    event = to_event(Record('{"a":1}', "k", (("h", "v"),)), id=str(number), source="/rehearsal")
    return frames.Deliver(number, "in", 0, msgspec.msgpack.encode(event))
