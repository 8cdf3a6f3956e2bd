"""Offset tokens: where a consumer stands on a topic, as text for URLs.

A token is URL-safe base64 without padding of versioned JSON. It holds, for every partition, the
offset after the last record that was delivered, or where the reader began; so resuming gives
exactly the rest. It is bound to its topic, and valid on every gateway that reads it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import msgspec

VERSION = 1


class _Token(msgspec.Struct, forbid_unknown_fields=True):
    offsets: dict[str, int]
    topic: str
    version: int


class _Version(msgspec.Struct):
    version: int


_decode = msgspec.json.Decoder(_Token).decode
_decode_version = msgspec.json.Decoder(_Version).decode


def write_token(topic: str, offsets: Sequence[int]) -> str:
    """The token for a reader whose next record of partition p is `offsets[p]`."""
    named = {str(partition): offset for partition, offset in enumerate(offsets)}
    raw = msgspec.json.encode(_Token(named, topic, VERSION))
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def start_offsets(position: str, topic: str, bounds: Sequence[tuple[int, int]]) -> list[int]:
    """Where a reader begins, per partition: `latest`, `earliest` or a token. Raises ValueError."""
    if position == "latest":
        return [end for _, end in bounds]
    if position == "earliest":
        return [first for first, _ in bounds]
    offsets = _read_token(position, topic)
    # A partition that was added after the token was written is read from its beginning.
    starts = [offsets.pop(str(partition), first) for partition, (first, _) in enumerate(bounds)]
    if offsets:
        raise ValueError(f"the offset token names partition {next(iter(offsets))}, which the topic has not")
    for partition, (start, (_, end)) in enumerate(zip(starts, bounds, strict=True)):
        if not 0 <= start <= end:
            raise ValueError(f"the offset token's offset {start} is outside partition {partition}")
    return starts


def _read_token(text: str, topic: str) -> dict[str, int]:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version = _decode_version(raw).version
        token = _decode(raw) if version == VERSION else None
    except ValueError as error:
        raise ValueError("'position' must be latest, earliest or an offset token of this gateway") from error
    if token is None:
        raise ValueError(f"the offset token has version {version}; this gateway reads version {VERSION}")
    if token.topic != topic:
        raise ValueError(f"the offset token belongs to topic '{token.topic}', not to '{topic}'")
    return token.offsets
