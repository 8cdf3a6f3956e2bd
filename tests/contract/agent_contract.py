"""What every agent must do, whatever it is for. Each check takes the agent's Case.

A new agent is checked as soon as it has a row in the registry table; nothing is added here for it.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from inspect import isawaitable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.openai_server import StandIn, serving

from tidemill.errors import RecordError
from tidemill.functions.api import Declaration, Routed
from tidemill.functions.emission import Emission, emit
from tidemill.functions.unit import ResourceSpec, UnitSpec
from tidemill.record import Event, Record, to_event, to_record

from .context import TestContext, results, running, settled
from .outside import Given, outside

APPLICATION = Path(__file__).parent / "application"
# User code and connectors get every property, so they may have any.
FREE_PROPERTIES = frozenset(
    {"python-processor", "python-sink", "python-source", "python-service", "source", "sink"}
)
_UNIT = UnitSpec(id="unit", kind="processor", agents=())


@dataclass(frozen=True)
class Case:
    """An agent type with its declared example, and where it may run."""

    agent: Declaration
    state: Path

    @property
    def configuration(self) -> dict[str, Any]:
        return copy.deepcopy(dict(self.agent.example.configuration))

    @property
    def record(self) -> Record:
        assert self.agent.example.record is not None
        return self.agent.example.record

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Any]:
        """The agent with its example's configuration; models are a stand-in's."""
        async with serving() as models:
            with outside(self.agent.type) as given:
                async with self._running(models, given) as handler:
                    yield handler

    @asynccontextmanager
    async def _running(self, models: StandIn, given: Given) -> AsyncIterator[Any]:
        service = {"url": models.url, "access-key": "secret"}
        resources = [*self.agent.example.resources]
        if self.agent.uses_ai:
            resources.append(ResourceSpec(id="ai", type="open-ai-configuration", configuration=service))
        context = TestContext(
            resources={resource.id: resource for resource in resources},
            code_directory=APPLICATION,
            state_directory=self.state,
        )
        async with running(self.agent, {**self.configuration, **given}, context) as handler:
            yield handler

    async def take(self, handler: Any, record: Record) -> list[Record | Routed]:
        """What a processor or sink makes of one record."""
        if self.agent.kind == "sink":
            await settled(handler.write(record))
            return []
        return await results(handler, record)

    async def attempt(self, handler: Any, record: Record) -> list[Record | Routed] | RecordError:
        """The same, where an error is as good as a result, so long as it is the record's."""
        try:
            return await self.take(handler, record)
        except RecordError as error:
            return error


def _travel(found: Sequence[Record | Routed]) -> None:
    """Whatever an agent emits can be written to a topic, and read again."""
    emission = Emission(Event({"id": "1", "source": "/s", "type": "t"}))
    for item in found:
        record = item.record if isinstance(item, Routed) else item
        to_record(emit(record, _UNIT, emission, "agent", "out"))


# --- configuration ---------------------------------------------------------------------------------


async def unknown_properties_are_refused(case: Case) -> None:
    configuration = {**case.configuration, "no-such-property": 1}
    if case.agent.type in FREE_PROPERTIES:
        case.agent.config.model_validate(configuration)
        return
    with pytest.raises(ValidationError, match="no-such-property"):
        case.agent.config.model_validate(configuration)


async def a_configuration_comes_back_as_it_went(case: Case) -> None:
    first = case.agent.config.model_validate(case.configuration)
    written = json.loads(json.dumps(first.model_dump(mode="json", by_alias=True, exclude_unset=True)))
    assert case.agent.config.model_validate(written) == first


async def a_configuration_cannot_be_changed(case: Case) -> None:
    config = case.agent.config.model_validate(case.configuration)
    with pytest.raises(ValidationError):
        config.composable = False  # type: ignore[attr-defined]


# --- life ------------------------------------------------------------------------------------------


async def closing_twice_is_closing_once(case: Case) -> None:
    async with case.running() as handler:  # closes a second time at its end
        if hasattr(handler, "close"):
            await settled(handler.close())


async def closing_before_starting_is_possible(case: Case) -> None:
    config = case.agent.config.model_validate(case.configuration)
    resources = {resource.id: resource for resource in case.agent.example.resources}
    service = ResourceSpec(
        id="ai",
        type="open-ai-configuration",
        configuration={"url": "http://localhost:1/v1", "access-key": "x"},
    )
    handler = case.agent.handler(
        config, TestContext(resources={**resources, "ai": service}, code_directory=APPLICATION)
    )
    if hasattr(handler, "close"):
        await settled(handler.close())


async def info_is_plain(case: Case) -> None:
    async with case.running() as handler:
        if hasattr(handler, "info"):
            assert isinstance(json.loads(json.dumps(handler.info())), dict)


# --- records ---------------------------------------------------------------------------------------


async def the_example_gives_its_result(case: Case) -> None:
    expected = case.agent.example.results
    async with case.running() as handler:
        found = await case.take(handler, case.record)
        _travel(found)
        assert expected is None or found == list(expected)


async def a_redelivery_gives_the_same(case: Case) -> None:
    event = to_event(case.record, id="1", source="/s")
    async with case.running() as handler:
        first = await case.take(handler, to_record(event))
        assert await case.take(handler, to_record(event)) == first
    async with case.running() as handler:  # a new process, later
        assert await case.take(handler, to_record(event)) == first


async def a_null_value_is_a_result_or_the_records_error(case: Case) -> None:
    async with case.running() as handler:
        for key in (None, "k"):
            found = await case.attempt(handler, Record(None, key))
            if not isinstance(found, RecordError):
                _travel(found)
        await case.take(handler, case.record)


async def a_tombstone_is_a_result_or_the_records_error(case: Case) -> None:
    event = Event({"id": "1", "source": "/s", "type": "t", "partitionkey": "k", "a-header": "x"})
    async with case.running() as handler:
        found = await case.attempt(handler, to_record(event))
        if not isinstance(found, RecordError):
            _travel(found)
        await case.take(handler, case.record)


async def a_huge_record_is_a_result_or_the_records_error(case: Case) -> None:
    huge = "All work and no play. " * 50_000
    half = json.dumps({"text": huge[:500_000], "question": "?"})
    values = [huge, huge[:100_000].encode(), half, "x" * 100_000]
    async with case.running() as handler:
        for value in values:
            found = await case.attempt(handler, replace(case.record, value=value))
            if not isinstance(found, RecordError):
                _travel(found[:100])
        await case.take(handler, case.record)


async def strange_values_are_a_result_or_the_records_error(case: Case) -> None:
    headers = (("a", b"\xff"), ("a", None), ("", "x"), ("n", 1.5))
    async with case.running() as handler:
        for value in (
            "",
            b"",
            b"\xff\x00",
            0,
            True,
            1.5,
            [],
            {},
            {"a": {"b": [None]}},
            "{",
            "null",
            "\ud800",
        ):
            await case.attempt(handler, Record(value, "k", headers, "topic", 1))
        await case.take(handler, case.record)


async def the_record_at_hand_is_not_changed(case: Case) -> None:
    given = replace(case.record, headers=(("a", {"b": [1]}), *case.record.headers))
    if isinstance(given.value, str) and given.value.startswith("{"):
        given = replace(given, value=json.loads(given.value))
    before = copy.deepcopy(given)
    async with case.running() as handler:
        await case.attempt(handler, given)
    assert given == before


async def a_cancelled_attempt_leaves_no_trace(case: Case) -> None:
    async with case.running() as handler:
        expected = await case.take(handler, case.record)
        for steps in range(1, 6):  # cut at several places
            pending = handler.write if case.agent.kind == "sink" else handler.process
            attempt = pending(case.record)
            if not isawaitable(attempt):
                return
            task = asyncio.ensure_future(attempt)
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None
        assert await case.take(handler, case.record) == expected


async def many_at_once_do_not_mix(case: Case) -> None:
    async with case.running() as handler:
        expected = await case.take(handler, case.record)
        found = await asyncio.gather(*(case.take(handler, case.record) for _ in range(20)))
        assert found == [expected] * 20


# --- sources and services --------------------------------------------------------------------------


async def a_source_reads_and_commits(case: Case) -> None:
    expected = case.agent.example.results
    async with case.running() as handler:
        found = list(await handler.read())
        assert expected is None or found == list(expected)
        _travel(found)
        for record in found:
            await handler.commit(record)


async def a_service_runs_until_it_is_stopped(case: Case) -> None:
    async with case.running() as handler:
        task = asyncio.ensure_future(handler.run())
        done, _ = await asyncio.wait([task], timeout=0.05)
        assert not done
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


Check = Callable[[Case], Awaitable[None]]
OF_CONFIGURATIONS: tuple[Check, ...] = (
    unknown_properties_are_refused,
    a_configuration_comes_back_as_it_went,
    a_configuration_cannot_be_changed,
)
OF_ALL: tuple[Check, ...] = (
    *OF_CONFIGURATIONS,
    closing_twice_is_closing_once,
    closing_before_starting_is_possible,
    info_is_plain,
)
OF_TAKERS: tuple[Check, ...] = (
    the_example_gives_its_result,
    a_redelivery_gives_the_same,
    a_null_value_is_a_result_or_the_records_error,
    a_tombstone_is_a_result_or_the_records_error,
    a_huge_record_is_a_result_or_the_records_error,
    strange_values_are_a_result_or_the_records_error,
    the_record_at_hand_is_not_changed,
    a_cancelled_attempt_leaves_no_trace,
    many_at_once_do_not_mix,
)
CHECKS: dict[str, tuple[Check, ...]] = {
    "processor": OF_ALL + OF_TAKERS,
    "sink": OF_ALL + OF_TAKERS,
    "source": (*OF_ALL, a_source_reads_and_commits),
    "service": (*OF_ALL, a_service_runs_until_it_is_stopped),
}


def checks(agent: Declaration) -> tuple[Check, ...]:
    """What can be checked of an agent here. One that only a cluster can run has a configuration; one
    that reaches outside has tests of its own, with something to reach."""
    if agent.tested == "plan only":
        return OF_CONFIGURATIONS
    if agent.example.results is None and not agent.uses_ai:
        return (*OF_CONFIGURATIONS, closing_before_starting_is_possible)
    return CHECKS[agent.kind]
