"""The contract between agents and the host that runs them.

An agent module in `agents/<family>/` holds a frozen config model, a Declaration and a handler that
has one of the shapes below. Methods may be plain or `async`. A handler never retries a record and
never swallows a failure: it raises, and the trigger's policy applies.
"""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from ..record import Record
from .unit import Kind, ResourceSpec

if TYPE_CHECKING:
    from pydantic import BaseModel

Tested = Literal["real", "stand-in", "plan only"]


@dataclass(frozen=True, slots=True)
class Routed:
    """A record that leaves the unit for a named topic, past the agents that follow."""

    topic: str
    record: Record


Results: TypeAlias = Sequence["Record | Routed"]


class Processor(Protocol):
    """Turns one record into any number of records."""

    def process(self, record: Record) -> Results | Awaitable[Results]: ...


class Source(Protocol):
    """Reads records from outside. `commit` follows when everything made of a record is safe."""

    async def read(self) -> Sequence[Record]: ...

    async def commit(self, record: Record) -> None: ...


class Sink(Protocol):
    """Writes records to the outside."""

    def write(self, record: Record) -> Awaitable[None] | None: ...


class Service(Protocol):
    """Runs on its own and takes no records."""

    async def run(self) -> None: ...


Agent: TypeAlias = Processor | Source | Sink | Service
# Any agent may also have `async start()`, `async close()` and `info() -> dict`.


class Context(Protocol):
    """What an agent may ask of its host."""

    @property
    def tenant(self) -> str: ...

    @property
    def application(self) -> str: ...

    @property
    def agent(self) -> str:
        """This agent's id."""
        ...

    @property
    def resources(self) -> Mapping[str, ResourceSpec]:
        """The application's resources by id, with secrets resolved."""
        ...

    @property
    def globals(self) -> Mapping[str, Any]: ...

    @property
    def topics(self) -> Sequence[str]: ...

    @property
    def state_directory(self) -> Path | None:
        """A folder that survives restarts, when the agent asked for a disk."""
        ...

    @property
    def code_directory(self) -> Path | None:
        """The application's folder."""
        ...

    @property
    def in_flight(self) -> int:
        """How many records the unit holds now: a batch of that many need not wait for more."""
        ...

    async def publish(self, topic: str, record: Record, channel: str = "side") -> None:
        """Write a record to a topic at once, outside the outcome of the record at hand (stream
        chunks, logs, user code). At least once: a redelivered record writes again with the same id."""
        ...

    def count(self, metric: str, amount: float = 1) -> None:
        """Add to a counter of /metrics."""
        ...


@dataclass(frozen=True, slots=True)
class Example:
    """One runnable use of an agent: the contract suite runs it and compares.

    `resources` are entries of configuration.yaml that it names. For a source, `record` is None.
    """

    configuration: Mapping[str, Any] = field(default_factory=dict)
    record: Record | None = None
    results: Sequence[Record] | None = None  # None: depends on a model or the outside
    resources: Sequence[ResourceSpec] = ()


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the planner, the documentation and the host know of an agent type."""

    type: str
    kind: Kind
    summary: str
    config: builtins.type[BaseModel]
    handler: Callable[[Any, Context], Agent]
    example: Example
    tested: Tested = "real"
    aliases: tuple[str, ...] = ()
    composable: bool = True
    extra: str | None = None  # the optional dependency group that it needs
    # Names of configuration keys that hold a topic's name, as paths like "routes[].destination".
    topic_fields: tuple[str, ...] = ()
    # Configuration keys that name a resource, with the resource types that fit.
    resource_fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # True: without an explicit resource, all AI resources of the application are handed over.
    uses_ai: bool = False
    # Models for agents whose keys depend on the service of their `datasource`: service -> "module:class".
    variants: Mapping[str, str] = field(default_factory=dict)
    # Whether an agent with this configuration needs a folder that survives, without asking for a disk.
    wants_disk: Callable[[Mapping[str, Any]], bool] = lambda configuration: False
    # What runs it instead, for an agent that no function of Tidemill can: a `run` is refused with this.
    runs_on: str | None = None
    # How many records one copy of the agent takes at a time; None = the host's default.
    concurrency: int | None = None
    # Libraries that it imports late and that start no thread: the parent of local workers imports
    # them once, so that a fork has them.
    preload: tuple[str, ...] = ()
