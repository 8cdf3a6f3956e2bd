"""A host's side of the agent contract for tests: what an agent may ask, and what it did."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from inspect import isawaitable
from pathlib import Path
from typing import Any

from tidemill.functions.api import Declaration, Routed
from tidemill.functions.registry import declaration
from tidemill.functions.unit import ResourceSpec
from tidemill.record import Record


@dataclass
class TestContext:
    """A Context that keeps what was published and counted.

    `fail_publish` is raised by `publish`, for tests of a broker that refuses.
    """

    __test__ = False  # no test class, though its name begins like one

    tenant: str = "default"
    application: str = "test"
    agent: str = "agent"
    resources: Mapping[str, ResourceSpec] = field(default_factory=dict)
    globals: Mapping[str, Any] = field(default_factory=dict)
    topics: Sequence[str] = ()
    state_directory: Path | None = None
    code_directory: Path | None = None
    in_flight: int = 1
    published: list[tuple[str, Record, str]] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    fail_publish: Exception | None = None

    async def publish(self, topic: str, record: Record, channel: str = "side") -> None:
        if self.fail_publish:
            raise self.fail_publish
        self.published.append((topic, record, channel))

    def count(self, metric: str, amount: float = 1) -> None:
        self.counted[metric] += amount


async def settled(value: Any) -> Any:
    """What a method gave, whether it was plain or async."""
    return await value if isawaitable(value) else value


@asynccontextmanager
async def running(
    agent: str | Declaration,
    configuration: Mapping[str, Any] | None = None,
    context: TestContext | None = None,
) -> AsyncIterator[Any]:
    """An agent of that type, started; closed at the end."""
    found = declaration(agent) if isinstance(agent, str) else agent
    handler = found.handler(found.config.model_validate(dict(configuration or {})), context or TestContext())
    if hasattr(handler, "start"):
        await settled(handler.start())
    try:
        yield handler
    finally:
        if hasattr(handler, "close"):
            await settled(handler.close())


async def results(handler: Any, record: Record) -> list[Record | Routed]:
    """Everything that a processor makes of one record."""
    return list(await settled(handler.process(record)))


@contextmanager
def clean_imports(folder: Path) -> Iterator[None]:
    """Forget afterwards what was imported from `folder`, sys.path and the environment: the code of
    two applications must not mix, though the tests share one process."""
    path, environment = list(sys.path), dict(os.environ)
    try:
        yield
    finally:
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(environment)
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(f"{folder}/"):
                del sys.modules[name]
