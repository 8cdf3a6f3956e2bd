"""timer-source, in virtual time."""

from __future__ import annotations

import asyncio
import logging

import looptime
import pytest
from contract.context import running

from tidemill.record import Record

FIELDS = [{"name": "value.n", "expression": "1"}, {"name": "properties.p", "expression": "'x'"}]


async def _ticks() -> None:
    loop = asyncio.get_running_loop()
    async with running("timer-source", {"period-seconds": 10, "fields": FIELDS}) as timer:
        begun = loop.time()
        for number in (1, 2, 3):
            assert list(await timer.read()) == [Record({"n": 1}, {}, (("p", "x"),))]
            assert loop.time() - begun == pytest.approx(10 * number)
            await asyncio.sleep(3)  # the rate is fixed, whatever the work takes
        await asyncio.sleep(100)
        late = loop.time()
        for _ in range(2):
            await timer.read()
        assert loop.time() == pytest.approx(late)  # two ticks have waited
        await timer.read()
        assert loop.time() > late  # the others are lost


def test_ticks() -> None:
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(_ticks())


def test_a_tick_that_cannot_be_built_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        broken = [{"name": "record.x", "expression": "1"}]
        async with running("timer-source", {"period-seconds": 1, "fields": broken}) as timer:
            assert list(await timer.read()) == []

    with caplog.at_level(logging.WARNING), asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(run())
    assert "a tick is left out" in caplog.text
