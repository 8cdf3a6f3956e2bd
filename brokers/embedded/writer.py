"""The one thread that writes: everything that arrived while it synced goes into its next transaction.

Fed by the broker on the loop's thread, answers there. Calls are applied strictly in the order in which
they were submitted. When a transaction fails, so does every call submitted before the loop learns of
it: a later call must not overtake one that its caller will repeat.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from ...errors import BrokerUnavailable, TidemillError
from ..faults import fault
from ..protocol import Stored
from . import schema, upkeep
from .indexing import Indexer
from .partition import Partition
from .store import Delivery, Entry, Store
from .upkeep import Removal

_MOST_CALLS, _MOST_ENTRIES = 1024, 4096  # in one transaction
_CHECKPOINT_BYTES, _CHECKPOINT_COMMITS = 8 << 20, 512  # a checkpoint is due after
_LONG_LOG = 16384  # pages of the write-ahead log after which the writer stops for a checkpoint
_INDEX_ROWS, _INDEX_LEAST = 1024, 64  # in a step of indexing: alone, and beside other work
_PAUSE = 0.02  # seconds without a call, after which indexing goes on alone

Added = Sequence[tuple[Partition, Stored]]


class Call:
    """Something to do in the writer: `run` of a control call has a transaction of its own."""

    __slots__ = ("deliveries", "entries", "future", "round", "run")

    def __init__(
        self,
        future: asyncio.Future[Any],
        *,
        entries: Sequence[Entry] | None = None,
        deliveries: Sequence[Delivery] | None = None,
        run: Callable[[], Any] | None = None,
    ) -> None:
        self.future, self.entries, self.deliveries, self.run = future, entries, deliveries, run
        self.round = 0

    @property
    def weight(self) -> int:
        return len(self.entries or self.deliveries or ())


class Writer:
    """`submit` on the loop's thread; everything with an underscore runs in the writer's thread."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        arrived: Callable[[Added], None],
        indexed: Callable[[dict[int, int]], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._store, self._indexer = store, Indexer(store)
        self._arrived, self._indexed = arrived, indexed
        self._queue: SimpleQueue[Call | None] = SimpleQueue()
        self._round = 0  # raised by the loop each time it has told of a failure
        self._failed_round = -1
        self._failure: TidemillError = BrokerUnavailable("")
        self._stale = False
        self._indexed_now: dict[int, int] = {}
        self._round_wanted = False
        self._checkpointer = _Checkpointer(folder)
        self._thread = threading.Thread(target=self._work, name="tidemill-broker", daemon=True)
        self._thread.start()

    def submit(self, call: Call) -> asyncio.Future[Any]:
        call.round = self._round
        self._queue.put(call)
        return call.future

    async def close(self) -> None:
        """End after everything that was submitted."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._checkpointer.close)

    # --- the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        while (call := self._next()) is not None:
            group, control = self._collect(call)
            if group:
                self._transact(group)
            if control is not None:
                self._control(control)
            self._begin_round()

    def _next(self) -> Call | None:
        """The next call; while none comes, a round of indexing goes on alone."""
        while self._indexer.active:
            try:
                return self._queue.get(timeout=_PAUSE)
            except Empty:
                self._attempt(lambda: self._index(_INDEX_ROWS))
        return self._queue.get()

    def _collect(self, call: Call | None) -> tuple[list[Call], Call | None]:
        """What may go into one transaction; and the control call that ends it, if one does."""
        group: list[Call] = []
        weight = 0
        while call is not None and call.run is None:
            group.append(call)
            weight += call.weight
            if weight >= _MOST_ENTRIES or len(group) >= _MOST_CALLS or self._queue.empty():
                return group, None
            call = self._queue.get()
        if call is None:
            self._queue.put(None)  # the end, for the main loop to see
        return group, call

    def _transact(self, group: list[Call]) -> None:
        answers: list[tuple[Call, Any]] = []

        def run() -> None:
            store = self._store
            store.clear()
            hashes = [entry.id_hash for call in group for entry in call.entries or ()]
            if hashes:
                store.look_up(hashes)
            answers.extend((call, self._apply(call)) for call in group)
            fault("broker.before-write")
            store.write()
            self._index(_INDEX_LEAST + 2 * len(store.added))

        refused = [(call, self._failure) for call in group if call.round <= self._failed_round]
        if refused:
            self._answer(refused, ())
            group = [call for call in group if call.round > self._failed_round]
        failure = self._attempt(run) if group else None
        if failure is not None:
            self._fail(group, failure)
        elif group:
            added = self._store.added
            self._answer(answers, added)
            self._checkpoint(added)

    def _apply(self, call: Call) -> Any:
        """The call's result, or the error that is its own and leaves the transaction whole."""
        try:
            if call.entries is not None:
                return self._store.publish(call.entries)
            return self._store.commit(call.deliveries or ())
        except TidemillError as error:
            return error

    def _control(self, call: Call) -> None:
        result: list[Any] = []

        def run() -> None:
            self._store.clear()
            result.append(call.run() if call.run else None)

        if call.round <= self._failed_round:
            self._answer([(call, self._failure)], ())
            return
        failure = self._attempt(run)
        if isinstance(failure, TidemillError) and not isinstance(failure, BrokerUnavailable):
            self._answer([(call, failure)], ())
        elif failure is not None:
            self._fail([call], failure)
        else:
            self._answer([(call, result[0])], ())

    def _attempt(self, run: Callable[[], None]) -> TidemillError | None:
        """Run a transaction; None when it is durable. After a failure the mirror is loaded again."""
        try:
            if self._stale:
                self._store.load()
                self._indexer.abandon()
                self._stale = False
            self._store.connection.execute("BEGIN IMMEDIATE")
            run()
            fault("broker.before-sync")
            self._store.connection.execute("COMMIT")
            fault("broker.after-sync")
            self._settle()
        except Exception as error:
            self._stale, self._indexed_now = True, {}
            self._roll_back()
            if isinstance(error, TidemillError):
                return error
            failed = BrokerUnavailable(str(error))
            failed.__cause__ = error
            return failed
        return None

    def _roll_back(self) -> None:
        try:
            if self._store.connection.in_transaction:
                self._store.connection.execute("ROLLBACK")
        except sqlite3.Error:
            return  # the file is as the last commit left it, or the next BEGIN says what is wrong

    # --- answers ---------------------------------------------------------------------------------

    def _answer(self, answers: Sequence[tuple[Call, Any]], added: Added) -> None:
        self._loop.call_soon_threadsafe(self._deliver, answers, added)

    def _fail(self, calls: Sequence[Call], failure: TidemillError) -> None:
        self._failure = failure
        self._failed_round = max([self._failed_round, *(call.round for call in calls)])
        self._loop.call_soon_threadsafe(self._deliver_failure, [(call, self._failure) for call in calls])

    def _deliver(self, answers: Iterable[tuple[Call, Any]], added: Added) -> None:
        self._arrived(added)
        for call, answer in answers:
            if call.future.done():
                continue
            if isinstance(answer, TidemillError):
                call.future.set_exception(answer)
            else:
                call.future.set_result(answer)

    def _deliver_failure(self, answers: Iterable[tuple[Call, Any]]) -> None:
        self._round += 1
        self._deliver(answers, ())

    # --- between transactions --------------------------------------------------------------------

    def _begin_round(self) -> None:
        indexer = self._indexer
        if self._stale or indexer.active or not (self._round_wanted or indexer.due()):
            return
        self._round_wanted = False
        try:
            indexer.begin()
        except sqlite3.Error:
            self._stale = True

    def _index(self, rows: int) -> None:
        """A step of indexing, as a part of any transaction: alone it would cost a sync of its own."""
        if self._indexer.active:
            self._indexed_now = self._indexer.step(rows)

    def _settle(self) -> None:
        """A transaction is durable; perhaps it ended the round."""
        if self._indexed_now:
            self._indexer.end(self._indexed_now)
            self._loop.call_soon_threadsafe(self._indexed, self._indexed_now)
            self._indexed_now = {}

    def _checkpoint(self, added: Added) -> None:
        self._checkpointer.note(sum(len(stored.blob) for _, stored in added))
        if self._checkpointer.must_stop:
            self._checkpointer.must_stop = False
            try:
                self._store.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except sqlite3.Error:
                return  # the log stays longer; the next checkpoint tries again

    def maintain(self, live: Mapping[str, Iterable[str]]) -> tuple[bool, list[Removal]]:
        """The `run` of a control call: one bounded step. True when there may be more to do."""
        if self._indexer.active:
            self._index(_INDEX_ROWS)
            return True, []  # the round works with the events as they were
        self._round_wanted = upkeep.compactable(self._store)
        removals = upkeep.step(self._store, live)
        return bool(removals) or self._round_wanted, removals


class _Checkpointer:
    """Moves the write-ahead log into the file, in a thread of its own, so that the writer need not stop.

    Under constant load it never gets to the end of the log; beyond `_LONG_LOG` it asks the writer to do
    the short rest between two transactions.
    """

    def __init__(self, folder: Path) -> None:
        self._connection = schema.connect(folder, cache_kib=256)
        self._queue: SimpleQueue[bool] = SimpleQueue()
        self._bytes = self._commits = 0
        self.must_stop = False
        self._thread = threading.Thread(target=self._work, name="tidemill-checkpoint", daemon=True)
        self._thread.start()

    def note(self, written: int) -> None:
        self._bytes += written
        self._commits += 1
        if self._bytes >= _CHECKPOINT_BYTES or self._commits >= _CHECKPOINT_COMMITS:
            self._bytes = self._commits = 0
            self._queue.put(True)

    def close(self) -> None:
        self._queue.put(False)
        self._thread.join()
        self._connection.close()

    def _work(self) -> None:
        while self._queue.get():
            try:
                rows = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except sqlite3.Error:
                continue  # the log stays longer; the next one tries again
            if rows[0][1] > _LONG_LOG:
                self.must_stop = True
