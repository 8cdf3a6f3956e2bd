"""The dead letter: the record that failed, unchanged, with headers that say why.

Called by the dispatcher, which writes it in one commit with the acknowledgement. The same record
gives the same id again, so a redelivery adds no second letter. The record comes first: where its
own headers leave too little room, messages are cut, and in the end the error headers are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..brokers.protocol import Stored
from ..errors import TidemillError
from ..record import Event, Record, derive_id, to_event, to_record

_LIMITS = (4096, 1024, 256, 64)  # characters of each error header, tried in this order
_PREFIX = "langstream-error-"


def dead_letter_event(
    stored: Stored,
    group: str,
    *,
    message: str,
    error_class: str,
    kind: str,
    causes: Sequence[tuple[str, str]] = (),
) -> Event:
    """The event for the dead-letter topic. `causes` are (class, message), direct first, root last."""
    event = stored.event()
    id = derive_id(event, group, "dead-letter", stored.topic, stored.partition, stored.offset)
    record = _record_of(event)
    errors = [*_error_headers(message, error_class, kind, causes), *_both("source-topic", stored.topic)]
    for limit in _LIMITS:
        headers = {name: _clean(text, limit) for name, text in errors}
        try:
            return to_event(
                record.with_headers(headers), id=id, source=event.source, type=event.attributes["type"]
            )
        except TidemillError:
            continue
    return Event({**event.attributes, "id": id}, event.data)


def _record_of(event: Event) -> Record:
    try:
        return to_record(event)
    except Exception:  # it is damaged, which may be why it failed: its letter must be written all the same
        return Record(event.data, event.partition_key)


def _error_headers(
    message: str, error_class: str, kind: str, causes: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    yield "error-msg", message
    yield "error-class", error_class
    yield _PREFIX + "message", message
    yield _PREFIX + "class", error_class
    yield _PREFIX + "type", kind
    if causes:
        for name, (cause_class, cause_message) in (("cause", causes[0]), ("root-cause", causes[-1])):
            yield f"{name}-msg", cause_message
            yield f"{name}-class", cause_class
            yield f"{_PREFIX}{name}-message", cause_message
            yield f"{_PREFIX}{name}-class", cause_class


def _both(name: str, text: str) -> tuple[tuple[str, str], ...]:
    return (name, text), (_PREFIX + name, text)


def _clean(text: str, limit: int) -> str:
    """Cut to the limit, and without what cannot be written as UTF-8."""
    return text[:limit].encode("utf-8", "replace").decode()
