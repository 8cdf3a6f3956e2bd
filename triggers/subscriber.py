"""What passes between the dispatcher and who processes its deliveries.

Implemented by the pools of workers of `local/`; `delivery.py` gives these names out as well. A token
stands for one attempt: an answer to any other attempt is never counted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from ..brokers.protocol import Stored
from ..functions.outcome import Busy, Done, Failed, Result

__all__ = ["Busy", "Delivery", "Done", "Failed", "Finished", "Result", "Subscriber"]


class Delivery(NamedTuple):
    """One attempt. `token` fences late answers; the event passes through undecoded."""

    token: int
    stored: Stored
    attempt: int
    state: bytes | None


Finished: TypeAlias = Callable[[int, Result], None]


class Subscriber(Protocol):
    """Who processes deliveries: the workers of a unit. Called in the dispatcher's event loop."""

    def capacity(self) -> int:
        """How many more deliveries it takes now."""
        ...

    def send(self, deliveries: Sequence[Delivery], finished: Finished) -> None:
        """Begin; `finished` is called once per token, at any time, also before this returns."""
        ...

    def abandon(self, token: int) -> Awaitable[None] | None:
        """The attempt is timed out: end it. It has ended when this returns None, when what this
        returns is done, or when `finished` is called, whichever is first."""
        ...
