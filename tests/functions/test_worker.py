"""A worker over its socket: it answers every delivery, and hands back what it cannot begin."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from tidemill.functions import frames
from tidemill.functions.environment import Environment
from tidemill.functions.rehearsal import rehearse
from tidemill.functions.unit import AgentSpec, UnitSpec
from tidemill.functions.worker import serve
from tidemill.record import Record, to_event

CODE = """
import asyncio
import os

class Slow:
    async def process(self, record):
        while record.value() == "slow" and not os.path.exists(self.gate):
            await asyncio.sleep(0.001)
        return [record]

    def init(self, configuration):
        self.gate = configuration["gate"]
"""


class Dispatcher:
    """The other end of the socket."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._heard: list[Any] = []
        self._reader = frames.Reader(self._heard.append)

    async def say(self, *messages: frames.Message) -> None:
        await asyncio.get_running_loop().sock_sendall(self._end, frames.encode(messages))

    async def hear(self, count: int) -> list[Any]:
        while len(self._heard) < count:
            self._reader.feed(await asyncio.get_running_loop().sock_recv(self._end, 65536))
        found, self._heard[:count] = self._heard[:count], []
        return found


def delivery(token: int, value: str) -> frames.Deliver:
    event = to_event(Record(value), id=str(token), source="/test")
    return frames.Deliver(token, "in", 0, msgspec.msgpack.encode(event))


def play(unit: UnitSpec, code: Path, scene: Callable[[Dispatcher], Awaitable[None]]) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        with theirs:
            dispatcher = Dispatcher(theirs)
            working = asyncio.create_task(serve(unit, Environment(Path(), code=code), ours, "pass"))
            playing = asyncio.ensure_future(scene(dispatcher))
            await asyncio.wait([playing, working], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                playing.cancel()
                await working
            await playing
            await dispatcher.say(frames.Stop())
            await working

    asyncio.run(main())


def slow_unit(tmp_path: Path, module: str) -> UnitSpec:
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / f"{module}.py").write_text(CODE)
    configuration = {"className": f"{module}.Slow", "gate": str(tmp_path / "gate")}
    agent = AgentSpec(id="slow", type="python-processor", configuration=configuration)
    return UnitSpec(id="u", kind="processor", agents=(agent,), output="out")


def test_records_behind_a_slow_one_are_handed_back_and_it_ends(tmp_path: Path) -> None:
    async def scene(dispatcher: Dispatcher) -> None:
        (hello,) = await dispatcher.hear(1)
        assert (hello.unit, hello.pass_code, hello.capacity) == ("u", "pass", 1)
        await dispatcher.say(delivery(1, "slow"), delivery(2, "b"), delivery(3, "c"))
        handed_back = await dispatcher.hear(2)
        assert handed_back == [frames.Later(2, 0.0), frames.Later(3, 0.0)]
        (tmp_path / "gate").touch()
        (ended,) = await dispatcher.hear(1)
        assert isinstance(ended, frames.Finished)
        assert ended.token == 1

    play(slow_unit(tmp_path, "slow_one"), tmp_path, scene)


def test_quick_records_are_all_processed_in_order(tmp_path: Path) -> None:
    async def scene(dispatcher: Dispatcher) -> None:
        await dispatcher.hear(1)
        await dispatcher.say(*(delivery(token, "quick") for token in range(8)))
        answers = await dispatcher.hear(8)
        assert [answer.token for answer in answers] == list(range(8))
        assert all(isinstance(answer, frames.Finished) for answer in answers)

    play(slow_unit(tmp_path, "slow_other"), tmp_path, scene)


def test_the_rehearsal_plays_to_its_end() -> None:
    rehearse()
