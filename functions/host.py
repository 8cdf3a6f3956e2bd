"""The host: one unit's agents, started once, given one record after the other.

Served over HTTP by `asgi.py` and over a socket to the local dispatcher by `worker.py`. It never
retries. It keeps one invariant: while an attempt for a key runs, no other attempt of that key is
begun here (Busy, HTTP 429), so a redelivery can never overtake the attempt it replaces.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from inspect import isawaitable
from pathlib import Path
from typing import Any, Protocol

from ..errors import ConfigurationError, NotFound
from ..record import RECORD_TYPE, Event, Record, to_record
from . import chain
from .api import Agent, Results
from .deadlines import DeadlineExceeded, Deadlines
from .emission import Emission, current, emit
from .environment import Environment
from .outcome import Busy, Done, Failed, Result, failure
from .registry import declaration
from .unit import AgentSpec, ResourceSpec, UnitSpec

DEFAULT_DEADLINE = 300.0  # seconds; below the Trigger's timeout, so that the host answers first
DEFAULT_CONCURRENCY = 64

log = logging.getLogger("tidemill.host")


class Publisher(Protocol):
    """Writes events to topics, outside the outcome of a record."""

    async def publish(self, topic: str, events: Sequence[Event]) -> None: ...


class HostContext:
    """What one agent sees of the host (api.Context)."""

    def __init__(self, host: Host, agent: AgentSpec) -> None:
        self._host = host
        self._agent = agent
        self.tenant = host.unit.tenant
        self.application = host.unit.application
        self.agent = agent.id
        self.resources: Mapping[str, ResourceSpec] = host.resources
        self.globals: Mapping[str, Any] = host.unit.globals
        self.topics: Sequence[str] = host.unit.topics

    @property
    def state_directory(self) -> Path | None:
        base = self._host.environment.state
        if base is None or not self._agent.disk:
            return None
        folder = base / self._agent.id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def code_directory(self) -> Path | None:
        return self._host.environment.code

    @property
    def in_flight(self) -> int:
        return self._host.in_flight

    async def publish(self, topic: str, record: Record, channel: str = "side") -> None:
        known = self._host.unit.topics
        if topic not in known:
            raise NotFound("topic", topic, known)
        emission = current.get(None) or Emission(self._host.first_cause())
        event = emit(record, self._host.unit, emission, self.agent, f"{channel}:{topic}")
        await self._host.publisher.publish(topic, [event])

    def count(self, metric: str, amount: float = 1) -> None:
        self._host.metrics[(metric, self.agent)] += amount


class Host:
    """Starts the agents of a unit and runs records through them."""

    def __init__(
        self,
        unit: UnitSpec,
        environment: Environment,
        publisher: Publisher,
        deadline: float = DEFAULT_DEADLINE,
    ) -> None:
        self.unit = unit
        self.environment = environment
        self.publisher = publisher
        self.deadline = deadline
        self.metrics: defaultdict[tuple[str, str], float] = defaultdict(float)
        self.resources: Mapping[str, ResourceSpec] = unit.services
        self.agents: list[tuple[AgentSpec, Agent]] = []
        self.stages: list[chain.Stage] = []
        self.source: Any = None
        self.service: Any = None
        self.in_flight = 0
        self.started_at = 0
        self.last_processed_at = 0
        self._running: set[str] = set()
        self._deadlines = Deadlines(deadline)

    async def start(self) -> None:
        """Make and start every agent. Raises ConfigurationError with the agent's id."""
        resolved = resolve_secrets(self.unit, self.environment)
        self.resources = resolved.services
        for spec in resolved.agents:
            try:
                agent = self._make(spec)
                self.agents.append((spec, agent))
                await _optional(agent, "start")
            except ConfigurationError as error:
                raise _of_agent(error, spec) from error.__cause__
            self._place(spec, agent)
        self.started_at = _now()

    def first_cause(self) -> Event:
        """The parent of what an agent writes while it handles no record: a source or a service."""
        return Event({"id": uuid.uuid4().hex, "source": self.unit.source, "type": RECORD_TYPE})

    def _make(self, spec: AgentSpec) -> Agent:
        found = declaration(spec.type)
        try:
            config = found.config.model_validate(_stated(found.config, spec.configuration))
            return found.handler(config, HostContext(self, spec))
        except ValueError as error:  # pydantic's errors are ValueErrors
            raise ConfigurationError(_without_input(error)) from None

    def _place(self, spec: AgentSpec, agent: Any) -> None:
        kind = declaration(spec.type).kind
        if kind == "source":
            self.source = agent
        elif kind == "service":
            self.service = agent
        elif kind == "sink":
            self.stages.append(chain.Stage(spec.id, _as_process(agent.write)))
        else:
            self.stages.append(chain.Stage(spec.id, agent.process))

    @property
    def concurrency(self) -> int:
        """How many records this copy of the unit takes at a time."""
        stated = self.unit.resources.scale.concurrency
        if stated:
            return stated
        limits = [limit for spec in self.unit.agents if (limit := declaration(spec.type).concurrency)]
        return min(limits, default=DEFAULT_CONCURRENCY)

    def handle(self, event: Event, topic: str | None, timestamp: int | None) -> Result | asyncio.Task[Result]:
        """One attempt for the record in `event`; when it does not end at once, as a task. Never raises."""
        result = self.attempt(event, topic, timestamp)
        return result if isinstance(result, tuple) else asyncio.get_running_loop().create_task(result)

    def attempt(
        self, event: Event, topic: str | None, timestamp: int | None
    ) -> Result | Coroutine[Any, Any, Result]:
        """As `handle`, for a caller that has a task of its own for the record."""
        key = event.partition_key
        if key is not None and key in self._running:
            return Busy()
        try:
            record = to_record(event, origin=topic, timestamp=timestamp)
        except Exception as error:
            return failure(error)
        emission = Emission(event)
        outer = current.set(emission)
        self.in_flight += 1
        try:
            left = chain.run(self.stages, record)
            if not isinstance(left, list):
                return self._finish(left, emission, key)
            result: Result = Done(self._outputs(left, emission))
        except Exception as error:
            result = failure(error)
        finally:
            current.reset(outer)
        return self._ended(result)

    async def _finish(
        self, left: Awaitable[Sequence[chain.Left]], emission: Emission, key: str | None
    ) -> Result:
        current.set(emission)
        if key is not None:
            self._running.add(key)
        result: Result
        try:
            with self._deadlines.attempt():
                result = Done(self._outputs(await left, emission))
        except DeadlineExceeded as error:
            result = Failed(str(error), "DeadlineExceeded")
        except Exception as error:
            result = failure(error)
        finally:
            if key is not None:
                self._running.discard(key)
        return self._ended(result)

    def _ended(self, result: Result) -> Result:
        self.in_flight -= 1
        self.last_processed_at = _now()
        unit = self.unit.id
        if isinstance(result, Done):
            self.metrics["source_out_total", unit] += 1
            self.metrics["sink_in_total", unit] += len(result.outputs)
        else:
            self.metrics["errors_total", unit] += 1
        return result

    def _outputs(self, left: Sequence[chain.Left], emission: Emission) -> list[tuple[str, Event]]:
        outputs = []
        for item in left:
            topic = item.topic or self.unit.output
            if topic is not None:
                outputs.append((topic, emit(item.record, self.unit, emission, item.agent, topic)))
        return outputs

    def info(self) -> list[dict[str, Any]]:
        """The answer of /info: one object per agent, named as LangStream names them."""
        metrics = {
            "total-in": self.metrics[("source_out_total", self.unit.id)],
            "total-out": self.metrics[("sink_in_total", self.unit.id)],
            "started-at": self.started_at,
            "last-processed-at": self.last_processed_at,
        }
        return [
            {
                "agent-id": spec.id,
                "agent-type": spec.type,
                "component-type": declaration(spec.type).kind.upper(),
                "info": _info_of(agent),
                "metrics": metrics,
            }
            for spec, agent in self.agents
        ]

    async def close(self) -> None:
        """Close every agent, the last first; an error while closing is logged."""
        for spec, agent in reversed(self.agents):
            try:
                await _optional(agent, "close")
            except Exception:
                log.exception("agent %s did not close cleanly", spec.id)


def _as_process(write: Callable[[Record], Awaitable[None] | None]) -> chain.Process:
    def process(record: Record) -> Results | Awaitable[Results]:
        written = write(record)
        return _after(written) if isawaitable(written) else ()

    return process


async def _after(written: Awaitable[None]) -> Results:
    await written
    return ()


def resolve_secrets(unit: UnitSpec, environment: Environment) -> UnitSpec:
    """The unit with `${secrets.…}` replaced in its agents and services. The result must not be logged."""
    from msgspec.structs import replace

    from .placeholders import resolve

    context = {"secrets": environment.read_secrets(), "globals": unit.globals}
    agents = tuple(replace(spec, configuration=resolve(spec.configuration, context)) for spec in unit.agents)
    services = {
        name: replace(service, configuration=resolve(service.configuration, context))
        for name, service in unit.services.items()
    }
    return replace(unit, agents=agents, services=services)


def _stated(model: Any, configuration: dict[str, Any]) -> dict[str, Any]:
    """Without nulls, which count as absent; a secret's null appears only here. Models that take any
    key keep them: they belong to user code."""
    if model.model_config.get("extra") == "allow":
        return configuration
    return {name: value for name, value in configuration.items() if value is not None}


def _without_input(error: ValueError) -> str:
    """What pydantic says, without the values (they may be secrets)."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    found = errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'configuration'}: {item['msg']}" for item in found)


def _of_agent(error: ConfigurationError, spec: AgentSpec) -> ConfigurationError:
    """The error with the agent's id, which not every agent says."""
    if error.agent is not None:
        return error
    what = f"agent '{spec.id}' ({spec.type}) cannot start: {error.message}"
    return ConfigurationError(what, agent=spec.id, hint=error.hint)


async def _optional(agent: Any, method: str) -> None:
    function = getattr(agent, method, None)
    if function is not None:
        result = function()
        if isawaitable(result):
            await result


def _info_of(agent: Any) -> dict[str, Any]:
    function = getattr(agent, "info", None)
    found: dict[str, Any] = function() if function is not None else {}
    return found


def _now() -> int:
    return int(time.time() * 1000)
