"""What a client of the gateway may ask for, in one place.

`Limits` are given to `gateway_app`; tests lower them. All memory that a connection can hold is
bounded by them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    message: int = 1024 * 1024  # one produce request, in any form
    url: int = 8000  # path and query; WebSocket libraries refuse request lines over 8 KiB
    parameters: int = 100  # in one query
    inbox: int = 16  # requests of one socket that are read ahead
    queue: int = 256  # records that wait for one slow consumer …
    queue_bytes: int = 4 * 1024 * 1024  # … and their size
    read: int = 32  # records in one read of a catch-up
    service_timeout: float = 30.0
    drain_timeout: float = 10.0
