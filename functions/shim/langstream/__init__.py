"""The module that LangStream's Python agents import, for machines where `langstream-ai` is missing.

User code gets it as `langstream`; Tidemill itself hands such objects over and takes any object of
the same shape back. The base classes are optional: an agent is any class with the right methods,
each of which may be `async` (but `Service.main`).
"""

from __future__ import annotations

import concurrent.futures
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

__all__ = [
    "Agent",
    "AgentContext",
    "AvroValue",
    "Processor",
    "Record",
    "RecordType",
    "Service",
    "SimpleRecord",
    "Sink",
    "Source",
    "TopicProducer",
]


class Record(ABC):
    """What agents read and write."""

    @abstractmethod
    def key(self) -> Any: ...

    @abstractmethod
    def value(self) -> Any: ...

    @abstractmethod
    def origin(self) -> str | None:
        """The topic that the record was read from."""

    @abstractmethod
    def timestamp(self) -> int | None:
        """Milliseconds since 1970."""

    @abstractmethod
    def headers(self) -> list[tuple[str, Any]]:
        """Names and values, in order; a name may come twice."""


RecordType: TypeAlias = Record | dict[str, Any] | list[Any] | tuple[Any, ...]


class SimpleRecord(Record):
    """A record that holds what it is given."""

    def __init__(
        self,
        value: Any,
        key: Any = None,
        headers: list[tuple[str, Any]] | None = None,
        origin: str | None = None,
        timestamp: int | None = None,
    ) -> None:
        self._value = value
        self._key = key
        self._headers = headers or []
        self._origin = origin
        self._timestamp = timestamp

    def key(self) -> Any:
        return self._key

    def value(self) -> Any:
        return self._value

    def origin(self) -> str | None:
        return self._origin

    def timestamp(self) -> int | None:
        return self._timestamp

    def headers(self) -> list[tuple[str, Any]]:
        return self._headers

    def __repr__(self) -> str:
        return (
            f"SimpleRecord(value={self._value!r}, key={self._key!r}, headers={self._headers!r}, "
            f"origin={self._origin!r}, timestamp={self._timestamp!r})"
        )


@dataclass
class AvroValue:
    """A value with its Avro schema."""

    schema: dict[str, Any]
    value: Any


class TopicProducer(Protocol):
    """Writes to any topic of the application, past the agent's own output."""

    def write(self, topic: str, record: RecordType) -> concurrent.futures.Future[None]:
        """For synchronous code; the future ends when the record is safe."""
        ...

    async def awrite(self, topic: str, record: RecordType) -> None:
        """For asynchronous code."""
        ...


class AgentContext(ABC):
    """What an agent may ask; handed to `init`."""

    @abstractmethod
    def get_persistent_state_directory(self) -> str | None:
        """A folder that survives restarts; None unless the agent's resources ask for a disk."""

    @abstractmethod
    def get_topic_producer(self) -> TopicProducer: ...


class Agent:
    """Base of all agents; every method here may be left out."""

    def init(self, config: dict[str, Any], context: AgentContext) -> None:
        """Called first, with the agent's configuration, `resources` and `globals`."""

    def start(self) -> None:
        """Called once, after `init`."""

    def close(self) -> None:
        """Called once, at the end."""

    def agent_info(self) -> dict[str, Any]:
        """What /info shows of the agent: values that JSON knows."""
        return {}


class Source(Agent, ABC):
    """Brings records in from outside."""

    @abstractmethod
    def read(self) -> list[RecordType]:
        """The next records. It is called again at once, so wait here when there is nothing."""

    def commit(self, record: Record) -> None:
        """Everything that came of a record is safe. The object is the one that `read` gave."""

    def permanent_failure(self, record: Record, error: Exception) -> None:
        """A record failed for good. Return to go on without it, raise to stop the agent."""
        raise error


class Processor(Agent, ABC):
    """Turns one record into any number of records."""

    @abstractmethod
    def process(self, record: Record) -> list[RecordType] | concurrent.futures.Future[list[RecordType]]:
        """Headers are not carried over: copy `record.headers()` to keep them."""


class Sink(Agent, ABC):
    """Writes records to the outside."""

    @abstractmethod
    def write(self, record: Record) -> concurrent.futures.Future[None] | None: ...


class Service(Agent, ABC):
    """Runs on its own, in a thread; serves HTTP on port 8000 if it serves."""

    @abstractmethod
    def main(self) -> None:
        """Should not return while the agent is wanted."""
