"""`timer-source`: makes a record at a fixed rate.

The first comes after one period. When the unit is slow, two ticks wait for it and further ones are
lost; so are those that pass while it does not run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from pydantic import Field

from ....errors import RecordError
from ....record import Record
from ...api import Context, Declaration, Example
from ...config import AgentConfig
from ...context import open_record
from ...fields import FieldConfig, Fields

_WAITING = 2  # ticks that are kept for a slow unit

log = logging.getLogger("tidemill.timer-source")


class TimerConfig(AgentConfig):
    """`fields` are written to a record whose key and value are empty maps."""

    period_seconds: int = Field(60, ge=1)
    fields: tuple[FieldConfig, ...] = ()


class TimerSource:
    def __init__(self, config: TimerConfig, context: Context) -> None:
        self._agent = context.agent
        self._period = config.period_seconds
        self._fields = Fields(config.fields)
        self._next: float | None = None

    def start(self) -> None:
        self._next = asyncio.get_running_loop().time() + self._period

    async def read(self) -> Sequence[Record]:
        """Waits for the next tick. Nothing, if its record cannot be built."""
        now = asyncio.get_running_loop().time()
        due = max(self._next or now + self._period, now - (_WAITING - 1) * self._period)
        await asyncio.sleep(due - now)
        self._next = due + self._period
        made = open_record(Record({}, {}))
        try:
            self._fields.write(made)
        except RecordError as error:
            log.warning("%s: a tick is left out: %s", self._agent, error)
            return ()
        return (made.closed(as_maps=True),)

    async def commit(self, record: Record) -> None:
        """There is nothing to remember."""


AGENT = Declaration(
    type="timer-source",
    kind="source",
    summary="Makes a record at a fixed rate.",
    config=TimerConfig,
    handler=TimerSource,
    example=Example(
        configuration={
            "period-seconds": 1,
            "fields": [{"name": "value.task", "expression": "'clean-up'"}],
        },
        results=[Record({"task": "clean-up"}, {})],
    ),
)
