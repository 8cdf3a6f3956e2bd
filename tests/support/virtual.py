"""Runs a test in virtual time: sleeping costs nothing, and the loop's clock is exact."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import looptime

T = TypeVar("T")


def run_virtual(main: Coroutine[Any, Any, T], limit: float = 1e6) -> T:
    """The result of `main`; TimeoutError when it waits for something that never comes.
    What a callback raised is raised here."""

    errors: list[BaseException] = []

    async def guarded() -> T:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: errors.append(context.get("exception") or RuntimeError(context["message"]))
        )
        async with asyncio.timeout(limit):
            return await main

    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(noop_cycles=0)) as runner:
        result = runner.run(guarded())
    if errors:
        raise errors[0]
    return result
