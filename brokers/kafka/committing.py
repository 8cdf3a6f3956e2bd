"""Committing: the effects of deliveries in Kafka transactions.

One transaction holds the outputs of all commits that waited, and per group and partition the lowest
unfinished offset with the bitmap of those beyond it. The offsets carry the member and generation of
the group, so that Kafka refuses what a process writes for a partition that it has lost (KIP-447);
the transactional id is the run's own, so that a new start ends what the one before left open.
What does not fit the metadata (see finished.py) is held until it does; then it is written in order.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ...errors import BrokerUnavailable, EventError
from ..faults import fault
from .batches import Batches, Call
from .finished import Finished, longest_prefix
from .producers import Outgoing, offset_of, producer, send
from .reading import unavailable

log = logging.getLogger("tidemill.kafka")

_MOST_CALLS = 1024
_RECOVERY_SECONDS = 0.5
_ATTEMPTS = 5  # of a commit whose group was in the middle of a rebalance

Share = tuple[str, str, int]  # group, topic, partition


class Ending(NamedTuple):
    """The end of one delivery."""

    share: Share
    offset: int
    outputs: Sequence[Outgoing]


class Ledger:
    """How far the groups that we joined are, as Kafka has it. After a commit that failed, a share is
    `broken`: a later commit must not overtake one that will be repeated. `lock` guards both."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.finished: dict[Share, Finished] = {}
        self.broken: set[Share] = set()

    def forget(self, share: Share) -> None:
        with self.lock:
            self.finished.pop(share, None)
            self.broken.discard(share)


class Committer(Batches[Sequence[Ending]]):
    """`member_of` gives our membership as kafka-python names it, None when the share is not ours any
    more; `read` the state of a share that no membership holds; `written` hears of offsets of outputs."""

    def __init__(
        self,
        arguments: Mapping[str, Any],
        identity: str,
        ledger: Ledger,
        member_of: Callable[[Share], Any],
        read: Callable[[Share], Finished],
        written: Callable[[Sequence[tuple[Outgoing, int]]], None],
    ) -> None:
        self._arguments, self._identity, self._ledger = arguments, identity, ledger
        self._member_of, self._read, self._written = member_of, read, written
        self._producer: Any = None
        self._held: list[_Part] = []
        super().__init__("tidemill-kafka-commit", self._commit, self._end, _MOST_CALLS)

    def _commit(self, calls: Sequence[Call[Sequence[Ending]]]) -> None:
        parts = self._held
        for call in calls:
            shares: dict[Share, list[Ending]] = defaultdict(list)
            for ending in call.what:
                shares[ending.share].append(ending)
            waiting = _Waiting(call, len(shares))
            if not shares:
                self._begin(call)
            parts += [_Part(waiting, share, endings) for share, endings in shares.items()]
        self._held = []
        self._write(parts, together=True)

    def _begin(self, call: Call[Sequence[Ending]]) -> None:
        """A call without endings asks for no more than the end of what an earlier run left open."""
        try:
            self._made()
            call.answer(None)
        except Exception as error:
            self._discard()
            call.refuse(unavailable(error))

    def _write(self, parts: Sequence[_Part], *, together: bool) -> None:
        """All in one transaction; when that fails, one for each group."""
        groups: dict[str, list[_Part]] = defaultdict(list)
        for part in parts:
            groups["" if together else part.share[0]].append(part)
        for group in groups.values():
            try:
                self._transact(group)
            except EventError as error:
                self._refuse(group, error)
            except _Stale as error:
                if together and len({part.share[0] for part in group}) > 1:
                    self._write(group, together=False)
                else:
                    self._again(group, error)
            except Exception as error:
                self._recover(group)
                self._refuse(group, unavailable(error))

    def _again(self, parts: Sequence[_Part], error: Exception) -> None:
        """The group moved on while we wrote: with its new generation, for what is still ours."""
        for attempt in range(_ATTEMPTS):
            time.sleep(0.1 * 2**attempt)
            try:
                return self._transact(parts)
            except _Stale as again:
                error = again
            except Exception as other:
                self._recover(parts)
                return self._refuse(parts, unavailable(other))
        self._refuse(parts, unavailable(error))

    def _refuse(self, parts: Sequence[_Part], error: Exception) -> None:
        with self._ledger.lock:
            self._ledger.broken |= {part.share for part in parts} & self._ledger.finished.keys()
        for part in parts:
            part.waiting.fail(error)

    # --- one transaction --------------------------------------------------------------------------

    def _transact(self, parts: Sequence[_Part]) -> None:
        parts, members = self._ours(parts)
        states = {share: self._state(share) for share in members}
        choice = _choose(parts, states)
        if choice.endings:
            self._send(choice.endings, states, members)
        with self._ledger.lock:
            for share, state in states.items():
                known = self._ledger.finished.get(share)
                if known is not None:
                    known.merge(state)  # it may have learned of gaps meanwhile
        self._held += choice.held
        for part in choice.written:
            part.waiting.succeed()

    def _ours(self, parts: Sequence[_Part]) -> tuple[list[_Part], dict[Share, Any]]:
        """The parts whose share we hold, and who we are to their groups; the others are refused."""
        members = {share: self._member_of(share) for share in {part.share for part in parts}}
        with self._ledger.lock:
            broken = self._ledger.broken & members.keys()
        kept = []
        for part in parts:
            group, topic, partition = part.share
            if members[part.share] is None:
                part.waiting.fail(BrokerUnavailable(f"{group} gave up partition {partition} of {topic}"))
            elif part.share in broken:
                part.waiting.fail(BrokerUnavailable("a commit before this one failed"))
            else:
                kept.append(part)
        return kept, {part.share: members[part.share] for part in kept}

    def _state(self, share: Share) -> Finished:
        with self._ledger.lock:
            known = self._ledger.finished.get(share)
            if known is not None:
                return known.copy()
        return self._read(share)

    def _send(
        self, endings: Sequence[Ending], states: Mapping[Share, Finished], members: Mapping[Share, Any]
    ) -> None:
        from kafka.errors import CommitFailedError

        made = self._made()
        fault("broker.before-write")
        made.begin_transaction()
        try:
            outputs = [output for ending in endings for output in ending.outputs]
            futures = [send(made, output) for output in outputs]
            self._send_offsets(made, {ending.share for ending in endings}, states, members)
            fault("broker.before-sync")
            made.commit_transaction()
            fault("broker.after-sync")
            offsets = [offset_of(future) for future in futures]
        except CommitFailedError as error:
            made.abort_transaction()
            raise _Stale(str(error)) from error
        except EventError:
            made.abort_transaction()
            raise
        self._written(list(zip(outputs, offsets, strict=True)))

    def _send_offsets(
        self,
        made: Any,
        shares: set[Share],
        states: Mapping[Share, Finished],
        members: Mapping[Share, Any],
    ) -> None:
        from kafka import TopicPartition
        from kafka.structs import OffsetAndMetadata

        groups: dict[str, dict[Any, Any]] = defaultdict(dict)
        metadata = {}
        for share in shares:
            group, topic, partition = share
            state, member = states[share], members[share]
            offset = OffsetAndMetadata(state.low, state.metadata(), -1)
            groups[group][TopicPartition(topic, partition)] = offset
            metadata[group] = member
        for group, offsets in groups.items():
            made.send_offsets_to_transaction(offsets, metadata[group])

    def _made(self) -> Any:
        if self._producer is None:
            self._producer = producer(self._arguments, f"tidemill-{self._identity}")
        return self._producer

    def _recover(self, parts: Sequence[_Part]) -> None:
        """The outcome of the transaction is unknown. A new producer ends it, one way or the other; then
        Kafka says how far the groups are. Until that is known, nothing is answered."""
        self._discard()
        while not self._ended:
            try:
                self._made()
                for share in {part.share for part in parts}:
                    state = self._read(share)
                    with self._ledger.lock:
                        if share in self._ledger.finished:
                            self._ledger.finished[share] = state
                return
            except Exception as error:
                log.warning("Kafka does not answer: %s", error)
                self._discard()
                time.sleep(_RECOVERY_SECONDS)

    def _discard(self) -> None:
        made, self._producer = self._producer, None
        if made is not None:
            try:
                made.close(timeout=1)
            except Exception as error:
                log.debug("closing a producer: %s", error)

    def _end(self) -> None:
        for part in self._held:
            part.waiting.fail(BrokerUnavailable("it is closed"))
        self._discard()


class _Choice(NamedTuple):
    """What a transaction writes: parts that are done with it, their endings, and what must wait."""

    written: list[_Part]
    endings: list[Ending]
    held: list[_Part]


def _choose(parts: Sequence[_Part], states: Mapping[Share, Finished]) -> _Choice:
    """Raises the states by what is chosen. An ending that is finished already is not written again."""
    choice = _Choice([], [], [])
    for share, state in states.items():
        mine = [part for part in parts if part.share == share]
        offsets = sorted({ending.offset for part in mine for ending in part.endings})
        allowed = set(offsets[: longest_prefix(state, offsets)])
        for part in mine:
            for ending in part.endings:
                if ending.offset in allowed and ending.offset not in state:
                    state.add([ending.offset])
                    choice.endings.append(ending)
            left = [ending for ending in part.endings if ending.offset not in allowed]
            if left:
                choice.held.append(_Part(part.waiting, share, left))
            else:
                choice.written.append(part)
    return choice


class _Stale(Exception):
    """The group has a newer generation than the one we wrote for."""


class _Waiting:
    """A call that is answered when all its parts are."""

    __slots__ = ("_call", "_parts")

    def __init__(self, call: Call[Sequence[Ending]], parts: int) -> None:
        self._call, self._parts = call, parts

    def succeed(self) -> None:
        self._parts -= 1
        if not self._parts:
            self._call.answer(None)

    def fail(self, error: Exception) -> None:
        self._call.refuse(error)


class _Part(NamedTuple):
    """The endings of one call for one share."""

    waiting: _Waiting
    share: Share
    endings: Sequence[Ending]
