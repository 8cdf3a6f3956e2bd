"""The event of all rows: 1 KB of JSON, seven ce- headers, binary mode."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

from tidemill.record import Event

DOCUMENT = {
    "order": 4711,
    "customer": {"id": "c-20981", "name": "Ada Lovelace", "mail": "ada@example.org", "since": 1843},
    "lines": [
        {"sku": f"AUR-{number:04}", "title": "Aurora Sport headphones", "count": number, "price": 59.9}
        for number in range(1, 11)
    ],
    "paid": False,
    "note": "Bitte vor 17 Uhr liefern; " + "x" * 60,
}
BODY = json.dumps(DOCUMENT, separators=(",", ":")).encode()
TIME = "2026-11-21T10:00:00.000Z"


def event(number: int, key: str, time: str = TIME) -> Event:
    """The event in its six attributes and content type."""
    attributes = {
        "id": str(number),
        "source": "/bench",
        "type": "dev.tidemill.record",
        "time": time,
        "subject": "order",
        "partitionkey": key,
        "datacontenttype": "application/json",
    }
    return Event(attributes, BODY)


def request(path: str, number: str, key: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(BODY)}\r\nce-specversion: 1.0\r\nce-id: {number}\r\nce-source: /bench\r\n"
        f"ce-type: dev.tidemill.record\r\nce-time: {TIME}\r\nce-subject: order\r\n"
        f"ce-partitionkey: {key}\r\n\r\n"
    )
    return head.encode() + BODY


def distinct(path: str, keys: int = 500) -> Callable[[], bytes]:
    """Requests whose ids differ, over a number of keys."""
    before, after = request(path, "{id}", "k{key}").split(b"{id}")
    numbers = itertools.count()

    def make() -> bytes:
        number = next(numbers)
        return b"%s%d%s" % (before, number, after.replace(b"{key}", b"%03d" % (number % keys), 1))

    return make
