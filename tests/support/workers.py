"""A subscriber double: answers in virtual time as a function says, and checks what it is sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from tidemill.triggers.delivery import Busy, Delivery, Done, Finished, Result

Answer = tuple[float, Result | None]  # after how many seconds; None = never


class Workers:
    """Takes `places` deliveries at a time. `sent` and `ended` hold (time, delivery)."""

    def __init__(self, answer: Callable[[Delivery], Answer], places: int = 64) -> None:
        self.answer = answer
        self.places = places
        self.running: dict[int, Delivery] = {}
        self.sent: list[tuple[float, Delivery]] = []
        self.ended: list[tuple[float, Delivery, Result]] = []
        self.abandoned: list[int] = []
        self.in_flight_of_key: Counter[str] = Counter()
        self.finished: Finished | None = None

    def capacity(self) -> int:
        return self.places - len(self.running)

    def send(self, deliveries: Sequence[Delivery], finished: Finished) -> None:
        assert 0 < len(deliveries) <= self.capacity()
        self.finished = finished
        loop = asyncio.get_running_loop()
        for delivery in deliveries:
            self._begin(delivery)
            self.sent.append((loop.time(), delivery))
            after, result = self.answer(delivery)
            if result is not None:
                loop.call_later(after, self._end, delivery, result)

    def _begin(self, delivery: Delivery) -> None:
        assert delivery.token not in self.running
        self.running[delivery.token] = delivery
        key = delivery.stored.key
        if key is not None:
            self.in_flight_of_key[key] += 1
            assert self.in_flight_of_key[key] == 1, f"two records of key {key} are in flight"

    def _end(self, delivery: Delivery, result: Result) -> None:
        """Also an attempt that was abandoned answers, late."""
        self._leave(delivery.token)
        self.ended.append((asyncio.get_running_loop().time(), delivery, result))
        assert self.finished is not None
        self.finished(delivery.token, result)

    def _leave(self, token: int) -> None:
        delivery = self.running.pop(token, None)
        if delivery is not None and delivery.stored.key is not None:
            self.in_flight_of_key[delivery.stored.key] -= 1

    def abandon(self, token: int) -> None:
        self.abandoned.append(token)
        self._leave(token)

    def texts(self) -> list[str]:
        """The data of what was sent, in order."""
        return [text_of(delivery) for _, delivery in self.sent]


def text_of(delivery: Delivery) -> str:
    return (delivery.stored.event().data or b"").decode()


def at_once(delivery: Delivery) -> Answer:
    return 0, Done()


__all__ = ["Answer", "Busy", "Workers", "at_once", "text_of"]
