"""log-event: what is logged, and that the record passes whatever happens."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from contract.context import TestContext, results, running
from pydantic import ValidationError

from tidemill.record import Record


def logged(caplog: pytest.LogCaptureFixture, record: Record, **configuration: Any) -> list[str]:
    """The lines, with the agent's id cut off; the record must come back as the very same object."""

    async def run() -> None:
        async with running("log-event", configuration, TestContext(agent="spy")) as agent:
            [found] = await results(agent, record)
            assert found is record

    caplog.clear()
    with caplog.at_level(logging.INFO, "tidemill.log-event"):
        asyncio.run(run())
    lines = [f"{entry.levelname} {entry.getMessage()}" for entry in caplog.records]
    assert all(" spy: " in line for line in lines)
    return [line.replace("spy: ", "") for line in lines]


def test_the_whole_record_by_default(caplog: pytest.LogCaptureFixture) -> None:
    [line] = logged(caplog, Record('{"a": 1}', "key", (("h", "x"),)))
    assert line.startswith("INFO Record(")
    assert all(part in line for part in ('{"a": 1}', "key", "'h', 'x'"))


def test_fields_and_message(caplog: pytest.LogCaptureFixture) -> None:
    fields = [{"name": "b", "expression": "value.x"}, {"name": "a", "expression": "properties.h"}]
    record = Record('{"x": 1.0}', None, (("h", "&"),))
    assert logged(caplog, record, fields=fields) == ["INFO {b=1.0, a=&}"]
    assert logged(caplog, record, message="x is {{value.x}} {{{properties.h}}}") == ["INFO x is 1.0 &"]
    assert logged(caplog, record, fields=fields, message="m") == ["INFO {b=1.0, a=&}", "INFO m"]


def test_when(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog, Record('{"x": 1}'), when="value.x > 1", message="m") == []
    assert logged(caplog, Record('{"x": 2}'), when="value.x > 1", message="m") == ["INFO m"]
    assert logged(caplog, Record('{"y": 2}'), when="value.x", message="m") == []


@pytest.mark.parametrize(
    ("record", "configuration"),
    [
        (Record("text"), {"message": "{{value.x}}"}),
        (Record("text"), {"fields": [{"name": "a", "expression": "value.x.y"}]}),
        (Record('{"x": "a"}'), {"when": "value.x > 1"}),
        (Record([1]), {"message": "m"}),
        (Record(None), {"message": "{{value}}"}),
    ],
)
def test_an_error_is_only_logged(
    caplog: pytest.LogCaptureFixture, record: Record, configuration: dict[str, Any]
) -> None:
    [line] = logged(caplog, record, **configuration)
    assert line.startswith("WARNING a record could not be logged: ")


def test_what_cannot_be_compiled_is_refused_with_the_configuration(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValidationError):
        logged(caplog, Record("x"), when="value.")
    with pytest.raises(ValidationError):
        logged(caplog, Record("x"), message="{{#open}}")
