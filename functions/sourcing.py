"""Runs a unit that begins with a source agent: read, process, publish, then commit.

Called by the worker (and the HTTP host). No trigger stands before such a unit, so the policy for
failures is applied here: a record is tried again at once `retries` times; then it is skipped, or the
unit ends with the error (`fail`, and `dead-letter`, which has no topic to come from) and is started
anew. `commit` follows only when everything made of a record is durable, so a crash reads it again.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from dataclasses import replace
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from ..record import Event, Record, to_event
from .outcome import Done, Failed, Result

if TYPE_CHECKING:
    from .host import Host

NAMED = "tidemill-id"  # the header by which a source names a record

log = logging.getLogger("tidemill.source")


async def run_source(host: Host) -> None:
    """Read until cancelled. Raises what the source raises, and what `fail` asks for."""
    while True:
        records = await host.source.read()
        if not records:
            await asyncio.sleep(0)
        for record in records:
            await _take(host, record)


async def _take(host: Host, record: Record) -> None:
    event = _origin(host, record)
    result = await _attempt(host, event)
    for _ in range(host.unit.errors.retries):
        if isinstance(result, Done) or (isinstance(result, Failed) and result.permanent):
            break
        result = await _attempt(host, event)
    if isinstance(result, Done):
        await _publish(host, result.outputs)
    elif not await _given_up(host, record, result):
        return
    await _call(host.source, "commit", record)


def _origin(host: Host, record: Record) -> Event:
    """An event for what was read. Its id is fresh: a source that can name its records does so in
    the header `tidemill-id`, and then a record that is read again has the same id."""
    named = record.header(NAMED)
    if named is None:
        return to_event(record, id=uuid.uuid4().hex, source=host.unit.source)
    headers = tuple(header for header in record.headers if header[0] != NAMED)
    return to_event(replace(record, headers=headers), id=str(named), source=host.unit.source)


async def _attempt(host: Host, event: Event) -> Result:
    result = host.handle(event, None, None)
    return await result if isawaitable(result) else result


async def _publish(host: Host, outputs: Sequence[tuple[str, Event]]) -> None:
    by_topic: dict[str, list[Event]] = {}
    for topic, event in outputs:
        by_topic.setdefault(topic, []).append(event)
    for topic, events in by_topic.items():
        await host.publisher.publish(topic, events)


async def _given_up(host: Host, record: Record, result: Result) -> bool:
    """Whether the record counts as handled after its last attempt."""
    error = RuntimeError(result.message if isinstance(result, Failed) else "the unit is busy")
    if hasattr(host.source, "failed"):
        await _call(host.source, "failed", record, error)  # raises when the source gives up
    if host.unit.errors.on_failure == "skip":
        log.warning("record skipped: %s", error)
        return True
    if not hasattr(host.source, "failed"):
        raise error
    return host.unit.errors.on_failure != "fail"


async def _call(agent: Any, method: str, *arguments: Any) -> None:
    function = getattr(agent, method, None)
    if function is not None:
        result = function(*arguments)
        if isawaitable(result):
            await result
