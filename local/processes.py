"""The run's side of the parent process: orders workers, hears of their ends, replaces the parent.

Used by `pool.py`. A parent that dies takes its workers with it (the kernel kills them); a new one is
started with the next order.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Ended: TypeAlias = Callable[[int], None]

log = logging.getLogger("tidemill.processes")


@dataclass(slots=True)
class Parent:
    """One parent process and the orders it has not answered yet."""

    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ready: asyncio.Future[None]
    spawning: dict[str, tuple[asyncio.Future[int], Ended]] = field(default_factory=dict)


class Processes:
    """Starts workers through a parent process."""

    def __init__(self, modules: Sequence[str], libraries: Sequence[str] = ()) -> None:
        self._modules = list(modules)
        self._libraries = list(libraries)
        self._ended: dict[int, Ended] = {}
        self._parent: Parent | None = None
        self._starting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def start(self) -> None:
        """Start the parent and wait until it has imported what workers need."""
        await (await self._alive()).ready

    @property
    def parent_pid(self) -> int | None:
        return self._parent.process.pid if self._parent else None

    async def spawn(self, variables: Mapping[str, str], ended: Ended) -> int:
        """A new worker with these variables: its process id.

        `ended` is called with the exit status when the worker is gone. Raises ChildProcessError when
        the parent dies meanwhile.
        """
        parent = await self._alive()
        await parent.ready
        pass_code = variables["TIDEMILL_PASS"]
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        parent.spawning[pass_code] = (answer, ended)
        _order(parent, {"do": "spawn", "pass": pass_code, "variables": dict(variables)})
        return await answer

    def kill(self, pid: int) -> None:
        """Kill a worker; `ended` follows."""
        if self._parent is not None:
            _order(self._parent, {"do": "kill", "pid": pid})

    async def close(self) -> None:
        """End the parent and every worker that is left."""
        self._closed = True
        if self._parent is not None:
            self._parent.writer.close()
            await asyncio.to_thread(self._parent.process.wait)
        for task in self._tasks:
            task.cancel()

    async def _alive(self) -> Parent:
        async with self._starting:
            if self._parent is None:
                self._parent = await self._start()
            return self._parent

    async def _start(self) -> Parent:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "tidemill.local.parent", str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()])  # noqa: ASYNC220  # it answers when ready
        theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        parent = Parent(process, reader, writer, asyncio.get_running_loop().create_future())
        _order(parent, {"do": "preload", "modules": self._modules})
        _order(parent, {"do": "import", "modules": self._libraries})  # nobody waits for these
        task = asyncio.create_task(self._listen(parent))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return parent

    async def _listen(self, parent: Parent) -> None:
        try:
            while line := await parent.reader.readline():
                self._hear(parent, json.loads(line))
        except ConnectionError:
            pass
        await asyncio.to_thread(parent.process.wait)
        self._lost(parent)

    def _hear(self, parent: Parent, message: Mapping[str, Any]) -> None:
        if "ready" in message:
            parent.ready.set_result(None)
        elif "spawned" in message:
            answer, ended = parent.spawning.pop(message["spawned"])
            self._ended[message["pid"]] = ended  # before its end can be heard of
            if not answer.done():
                answer.set_result(message["pid"])
        elif "ended" in message:
            self._report(message["ended"], message["status"])

    def _report(self, pid: int, status: int) -> None:
        ended = self._ended.pop(pid, None)
        if ended is not None:
            ended(status)

    def _lost(self, parent: Parent) -> None:
        if self._parent is parent:
            self._parent = None
        if not self._closed:
            log.warning(
                "the parent of the workers ended (status %s); a new one follows", parent.process.returncode
            )
        lost = ChildProcessError("the parent of the workers ended")
        for answer, _ in parent.spawning.values():
            _fail(answer, lost)
        _fail(parent.ready, lost)
        for pid in list(self._ended):
            self._report(pid, -9)


def _order(parent: Parent, order: Mapping[str, Any]) -> None:
    if not parent.writer.is_closing():
        parent.writer.write(json.dumps(order).encode() + b"\n")


def _fail(waiting: asyncio.Future[Any], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)
        waiting.exception()  # seen, also when nobody waits any more
