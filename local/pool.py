"""The copies of one unit: starts and stops workers, and hands deliveries to them.

Made by `platform.py`; it is the Subscriber of the unit's dispatchers. A worker that takes few records at
a time, and is quick, gets some ahead, which makes batches of them; what it cannot begin soon it hands
back. Invariants: no worker holds more than it said it takes, or `MOST_AHEAD`; when a worker dies,
everything it held is delivered again. A record that was in hand when a worker died may have killed it,
so it goes alone to the next worker, and only when that one dies too does it count as a failed attempt:
neighbours are never blamed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from ..functions import frames
from ..functions.outcome import Busy, Failed, Result
from ..triggers.delivery import Delivery
from .autoscaler import Autoscaler
from .connections import Connection
from .processes import Processes

RESTART_DELAYS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds, by the number of quick ends in a row
MOST_AHEAD = 16  # records that a worker may hold, if it takes fewer at a time
QUICK_ANSWER = 0.02  # seconds from sending to the answer, for a worker to get more ahead
QUICK_END = 10.0  # a worker that lived longer starts the row anew
A_LITTLE = 1e-9  # load of a second in which records came and went: it adds no copy, but is no idleness

log = logging.getLogger("tidemill.pool")

Finish = Callable[[int, Result], None]


@dataclass(slots=True, eq=False)
class Worker:
    """One process and what it holds."""

    pass_code: str
    started: float
    pid: int = 0  # 0: being started
    connection: Connection | None = None
    room: int = 0  # how many records it takes at a time
    ahead: int = 0  # how many more it gets now
    held: dict[int, tuple[Delivery, Finish, float]] = field(default_factory=dict)  # the loop's time last
    alone: bool = False  # reserved for one suspect
    stopping: bool = False
    ended: asyncio.Future[None] | None = None  # somebody waits for its end

    @property
    def free(self) -> int:
        if self.connection is None or self.stopping or self.alone:
            return 0
        return self.room + self.ahead - len(self.held)

    def learn(self, result: Result, seconds: float) -> None:
        """One more ahead for a quick answer, none when it handed something back."""
        if isinstance(result, Busy):
            self.ahead = 0
        elif seconds < QUICK_ANSWER:
            self.ahead = max(0, min(self.ahead + 1, MOST_AHEAD - self.room))
        else:
            self.ahead //= 2


class Pool:
    """All workers of one unit."""

    def __init__(
        self,
        unit: str,
        processes: Processes,
        variables: Mapping[str, str],
        scaler: Autoscaler,
        *,
        always: bool = False,
    ) -> None:
        self.unit = unit
        self.workers: list[Worker] = []
        self.infos: dict[int, frames.Info] = {}
        self.dispatchers: list[Any] = []
        self.last_error: str | None = None
        self.finished = 0
        self._processes = processes
        self._variables = dict(variables)
        self._scaler = scaler
        self._always = always  # a source or a service: runs without demand
        self._suspects: deque[tuple[Delivery, Finish]] = deque()
        self._suspected: set[tuple[str, int, int]] = set()
        self._wanted = 0
        self._measured = 0  # of `finished`, at the last tick
        self._quick_ends = 0
        self._not_before = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._gone = asyncio.Event()

    # --- Subscriber ---

    def capacity(self) -> int:
        return sum(worker.free for worker in self.workers) if not self._suspects else 0

    def send(self, deliveries: Sequence[Delivery], finished: Finish) -> None:
        """Hand deliveries to the workers that hold least."""
        batches: dict[str, tuple[Worker, list[frames.Message]]] = {}
        now = asyncio.get_running_loop().time()
        for delivery in deliveries:
            stored = delivery.stored
            if self._suspected and stored[:3] in self._suspected:
                self._suspects.append((delivery, finished))
                continue
            worker = max(self.workers, key=lambda item: item.free)
            worker.held[delivery.token] = (delivery, finished, now)
            batches.setdefault(worker.pass_code, (worker, []))[1].append(_message(delivery))
        for worker, messages in batches.values():
            assert worker.connection is not None  # `free` is 0 without one, and capacity() was asked first
            worker.connection.send(messages)
        self._pump_suspects()

    def abandon(self, token: int) -> Awaitable[None] | None:
        """The attempt took too long: its worker is killed, and what else it held goes elsewhere."""
        for worker in self.workers:
            if worker.held.pop(token, None) is not None:
                self._processes.kill(worker.pid)
                worker.ended = worker.ended or asyncio.get_running_loop().create_future()
                return worker.ended
        return None

    # --- workers ---

    def connected(self, connection: Connection, hello: frames.Hello) -> Worker | None:
        """The worker that says Hello, when it is one of ours."""
        worker = next((item for item in self.workers if item.pass_code == hello.pass_code), None)
        if worker is not None:
            worker.connection, worker.room = connection, hello.capacity
            self._pump_suspects()
            self._notify()
        return worker

    def answered(self, worker: Worker, token: int, result: Result) -> None:
        held = worker.held.pop(token, None)
        if held is None:
            return
        delivery, finished, sent = held
        worker.learn(result, asyncio.get_running_loop().time() - sent)
        if self._suspected:
            self._suspected.discard(delivery.stored[:3])
        worker.alone = False
        self.finished += 1
        finished(token, result)
        self._pump_suspects()
        self._notify()

    def informed(self, worker: Worker, info: frames.Info) -> None:
        self.infos[worker.pid] = info

    def disconnected(self, worker: Worker) -> None:
        """The worker is gone, or will be: what it held is delivered again."""
        if worker not in self.workers:
            return
        self.workers.remove(worker)
        self.infos.pop(worker.pid, None)
        blamed = len(worker.held) == 1 and worker.alone
        for token, (delivery, finished, _) in worker.held.items():
            if blamed:
                self._suspected.discard(delivery.stored[:3])
                finished(token, Failed("the worker process ended while it held this record", "WorkerEnded"))
            else:
                self._suspected.add(delivery.stored[:3])
                finished(token, Busy(0.0))
        worker.held.clear()
        if worker.ended is not None and not worker.ended.done():
            worker.ended.set_result(None)
        if not self.workers:
            self._gone.set()
        self._refill()

    def _exited(self, worker: Worker, status: int) -> None:
        loop = asyncio.get_running_loop()
        if status != 0 and not worker.stopping:
            self.last_error = f"worker {worker.pid} ended with status {status}"
            quick = loop.time() - worker.started < QUICK_END
            self._quick_ends = self._quick_ends + 1 if quick else 1
            delay = RESTART_DELAYS[min(self._quick_ends, len(RESTART_DELAYS)) - 1]
            self._not_before = loop.time() + delay
            log.warning("unit %s: %s; next start in %g s", self.unit, self.last_error, delay)
        self.disconnected(worker)

    def _pump_suspects(self) -> None:
        """Give one suspect to a worker that holds nothing; else keep one worker free for it."""
        while self._suspects:
            idle = next((w for w in self.workers if w.connection and not w.held and not w.stopping), None)
            if idle is None:
                if self.workers and not any(worker.alone for worker in self.workers):
                    min(self.workers, key=lambda worker: len(worker.held)).alone = True
                return
            delivery, finished = self._suspects.popleft()
            idle.alone = True
            idle.held[delivery.token] = (delivery, finished, asyncio.get_running_loop().time())
            assert idle.connection is not None
            idle.connection.send([_message(delivery)])

    def _notify(self) -> None:
        for dispatcher in self.dispatchers:
            dispatcher.capacity_changed()

    # --- scale ---

    @property
    def load(self) -> int:
        """Records in hand or ready for this unit."""
        return sum(dispatcher.demand for dispatcher in self.dispatchers)

    def demand_changed(self) -> None:
        """Something waits: a unit at zero starts now, not at the next tick."""
        if self._wanted == 0 and not self._closed and self.load:
            self._wanted = 1
            self._refill()

    def tick(self, now: float) -> None:
        """Once a second: ask the autoscaler, start or stop workers."""
        if self._closed:
            return
        self._scaler.observe(now, self._measure())
        wanted = self._scaler.wanted(now, len(self.workers))
        self._wanted = max(wanted, 1 if self._always or self.load else 0)
        self._refill()
        for worker in list(self.workers)[self._wanted :]:
            if not worker.held and worker.connection is not None:
                self._stop(worker)
        for worker in self.workers:
            if worker.connection is not None:
                worker.connection.send([frames.AskInfo()])

    def _measure(self) -> float:
        """What the unit had to do, in its metric, since the last tick a second ago."""
        finished, self._measured = self.finished - self._measured, self.finished
        if self._scaler.policy.metric == "rps":
            return finished
        return self.load or (A_LITTLE if finished else 0)

    def _refill(self) -> None:
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        for _ in range(self._wanted - len(self.workers)):
            worker = Worker(token_hex(16), loop.time())
            self.workers.append(worker)
            task = loop.create_task(self._start(worker))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _start(self, worker: Worker) -> None:
        loop = asyncio.get_running_loop()
        if self._not_before > loop.time():
            await asyncio.sleep(self._not_before - loop.time())
            worker.started = loop.time()
        variables = {**self._variables, "TIDEMILL_PASS": worker.pass_code}
        try:
            worker.pid = await self._processes.spawn(variables, lambda status: self._exited(worker, status))
        except ChildProcessError as error:
            log.warning("unit %s: %s", self.unit, error)
            self._exited(worker, 1)
        if self._closed:
            self._processes.kill(worker.pid)

    def _stop(self, worker: Worker) -> None:
        worker.stopping = True
        if worker.connection is not None:
            worker.connection.send([frames.Stop()])

    def restart(self) -> None:
        """Replace every worker: the old ones finish what they hold, new ones start beside them."""
        self._quick_ends, self._not_before = 0, 0.0
        for worker in self.workers:
            self._stop(worker)

    async def close(self, timeout: float) -> None:
        """Stop all workers; those that do not end in time are killed."""
        self._closed = True
        for worker in self.workers:
            self._stop(worker)
        if not self.workers:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._gone.wait()
        except TimeoutError:
            for worker in list(self.workers):
                self._processes.kill(worker.pid)


def _message(delivery: Delivery) -> frames.Deliver:
    stored = delivery.stored
    return frames.Deliver(delivery.token, stored.topic, stored.timestamp, stored.blob, delivery.state)
