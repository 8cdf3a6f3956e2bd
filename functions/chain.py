"""The agents of a unit in a row.

Called by the host for every record. A stage handles all results of the stage before; their results
follow in the order of the records, whatever order they finish in. An error anywhere is the error of
the input record. As long as agents answer at once nothing is awaited and no task is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from inspect import isawaitable
from typing import NamedTuple, TypeAlias

from ..record import Record
from .api import Results, Routed
from .emission import Emission, current

Process: TypeAlias = Callable[[Record], "Results | Awaitable[Results]"]


class Left(NamedTuple):
    """What left the chain: (agent, topic or None for the unit's output, record), in order."""

    agent: str
    topic: str | None
    record: Record


@dataclass(frozen=True, slots=True)
class Stage:
    """One processor or sink by its id."""

    agent: str
    process: Process


def run(stages: Sequence[Stage], record: Record) -> list[Left] | Awaitable[Sequence[Left]]:
    """Everything that leaves the chain for one record. Needs `emission.current` to be set."""
    batch: list[Record] = [record]
    left: list[Left] = []
    for number, stage in enumerate(stages):
        if len(batch) != 1:
            return _run_rest(stages, number, batch, left)
        results = stage.process(batch[0])
        if not isinstance(results, tuple | list) and isawaitable(results):  # the dear question last
            return _run_rest(stages, number, batch, left, results)
        batch = _sort(stage, results, left)
        if not batch:
            return left
    return _finish(stages, batch, left)


async def _run_rest(
    stages: Sequence[Stage],
    number: int,
    batch: list[Record],
    left: list[Left],
    first: Awaitable[Results] | None = None,
) -> Sequence[Left]:
    for stage in stages[number:]:
        if first is not None:
            results, first = await first, None
        else:
            results = await _side_by_side(stage, batch)
        batch = _sort(stage, results, left)
        if not batch:
            return left
    return _finish(stages, batch, left)


async def _side_by_side(stage: Stage, batch: Sequence[Record]) -> Results:
    if len(batch) == 1:
        results = stage.process(batch[0])
        return await results if isawaitable(results) else results
    emission = current.get()
    tasks = [_in_branch(stage, record, emission.branch(index)) for index, record in enumerate(batch)]
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    collected: list[Record | Routed] = []
    for end in ended:
        if isinstance(end, BaseException):
            raise end
        collected.extend(end)
    return collected


def _in_branch(stage: Stage, record: Record, emission: Emission) -> asyncio.Task[Results]:
    context = copy_context()
    context.run(current.set, emission)
    return asyncio.get_running_loop().create_task(_call(stage, record), context=context)


async def _call(stage: Stage, record: Record) -> Results:
    results = stage.process(record)
    return await results if isawaitable(results) else results


def _sort(stage: Stage, results: Results, left: list[Left]) -> list[Record]:
    batch: list[Record] = []
    for result in results:
        if isinstance(result, Routed):
            left.append(Left(stage.agent, result.topic, result.record))
        else:
            batch.append(result)
    return batch


def _finish(stages: Sequence[Stage], batch: Sequence[Record], left: list[Left]) -> list[Left]:
    last = stages[-1].agent if stages else ""
    left.extend(Left(last, None, record) for record in batch)
    return left
