"""The crawler's memory: which addresses it knows, which are to be fetched, and which are not done.

Used by the crawler's source; written as JSON, with the names of LangStream's state file. An address
is known once and for all until the next round; it stays in `remaining` until its page was committed
or given up, so a new process takes up what was in flight. Retries and failures are this process's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

Kind = Literal["PAGE", "ROBOTS", "SITEMAP"]


class Reference(Struct, frozen=True):
    """An address, and how many links it is away from a seed."""

    url: str
    type: Kind = "PAGE"
    depth: int = 0


class RobotsFile(Struct, frozen=True, rename="camel"):
    content: str
    content_type: str = ""


class State(Struct, rename="camel"):
    """What is stored. `urls` are the known ones in the order in which they were found."""

    remaining_urls: list[str] = field(default_factory=list)
    urls: list[Reference] = field(default_factory=list)
    last_index_end_timestamp: int = 0
    last_index_start_timestamp: int = 0
    robot_files: dict[str, RobotsFile] = field(default_factory=dict)


class Frontier:
    """The queue and the memory of one round."""

    def __init__(self, *, max_urls: int, max_depth: int) -> None:
        self._max_urls, self._max_depth = max_urls, max_depth
        self.begin(0)

    def begin(self, now: int) -> None:
        """A new round: everything is forgotten."""
        self.known: dict[str, Reference] = {}
        self.remaining: dict[str, None] = {}  # a set that keeps its order
        self.pending: deque[Reference] = deque()
        self.robots: dict[str, RobotsFile] = {}
        self.failures: dict[str, int] = {}
        self.started, self.ended = now, 0

    def add(self, reference: Reference, *, bounded: bool = True) -> bool:
        """Queue an address, unless it is known or beyond the limits."""
        if reference.url in self.known:
            return False
        if bounded and self._beyond(reference):
            return False
        self.known[reference.url] = reference
        self.remaining[reference.url] = None
        self.pending.append(reference)
        return True

    def _beyond(self, reference: Reference) -> bool:
        if 0 < self._max_depth < reference.depth:
            return True
        return 0 < self._max_urls <= len(self.known)

    def discard(self, reference: Reference) -> None:
        """Remember an address that is not to be fetched, so that it is judged once."""
        if not self._beyond(reference):
            self.known.setdefault(reference.url, reference)

    def done(self, url: str) -> None:
        self.remaining.pop(url, None)

    def again(self, reference: Reference, limit: int) -> bool:
        """After a failure: queued once more, or given up when it failed too often.

        A page goes to the end. What a host asks of crawlers must be known before its pages are fetched.
        """
        count = self.failures[reference.url] = self.failures.get(reference.url, 0) + 1
        if count >= limit:
            self.done(reference.url)
            return False
        (self.pending.appendleft if reference.type == "ROBOTS" else self.pending.append)(reference)
        return True

    def next(self) -> Reference | None:
        return self.pending.popleft() if self.pending else None

    # --- storage -----------------------------------------------------------------------------------

    def written(self) -> bytes:
        return msgspec.json.encode(
            State(list(self.remaining), list(self.known.values()), self.ended, self.started, self.robots)
        )

    def restore(self, content: bytes | None) -> bool:
        """Take up a stored state. False, and nothing is changed, if there is none that can be read."""
        try:
            state = msgspec.json.decode(content or b"", type=State)
        except msgspec.DecodeError:
            return False
        self.known = {reference.url: reference for reference in state.urls}
        self.remaining = dict.fromkeys(state.remaining_urls)
        self.pending = deque(self.known.get(url) or Reference(url) for url in state.remaining_urls)
        self.robots = dict(state.robot_files)
        self.started, self.ended = state.last_index_start_timestamp, state.last_index_end_timestamp
        return True

    def info(self) -> Mapping[str, Any]:
        return {
            "known-urls": len(self.known),
            "remaining-urls": len(self.remaining),
            "pending-urls": len(self.pending),
            "last-index-start": self.started,
            "last-index-end": self.ended,
        }
