"""The life of a user's Python object: loaded, `init`, `start`, work, `close`.

Base of the four Python agents. Synchronous methods run in a thread of the agent's own, `async` ones
on the event loop; a returned future is awaited; arguments are cut to what the method takes. What
user code raises leaves here as UserCodeError (at start: ConfigurationError), never as itself.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import inspect
import logging
import os
from collections.abc import Callable
from functools import cache
from inspect import isawaitable, iscoroutinefunction
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ....errors import ConfigurationError, RecordError
from ...api import Context
from ...config import AgentConfig
from ._loading import UserCodeError, load_class, open_path
from ._records import from_user
from ._threads import CodeThread

# So many writes to topics may be on their way before `write` waits.
MAX_PENDING_WRITES = 1000

log = logging.getLogger("tidemill.python")


class Variable(BaseModel):
    """An entry of `environment`."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    key: str
    value: str

    @field_validator("value", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value).lower() if isinstance(value, bool) else value


class PythonConfig(AgentConfig):
    """`className` is `module.Class`; every further property goes to the class's `init`."""

    model_config = ConfigDict(extra="allow")

    class_name: str = Field(alias="className", pattern=r"^\w+(\.\w+)+$")
    environment: tuple[Variable, ...] = ()


class UserContext:
    """The AgentContext that `init` gets."""

    def __init__(self, context: Context, producer: Producer) -> None:
        self._context = context
        self._producer = producer

    def get_persistent_state_directory(self) -> str | None:
        folder = self._context.state_directory
        return None if folder is None else str(folder)

    def get_topic_producer(self) -> Producer:
        return self._producer


class Producer:
    """Writes to topics for user code, from any thread."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._pending: set[concurrent.futures.Future[None]] = set()

    def write(self, topic: str, record: Any) -> concurrent.futures.Future[None]:
        """Start a write. Waits while too many are on their way (but not on the event loop)."""
        publishing = self._context.publish(topic, from_user(record))
        if not self._on_loop():
            while len(self._pending) >= MAX_PENDING_WRITES:
                concurrent.futures.wait(set(self._pending), return_when=concurrent.futures.FIRST_COMPLETED)
        future = asyncio.run_coroutine_threadsafe(publishing, self._loop)
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        return future

    async def awrite(self, topic: str, record: Any) -> None:
        if self._on_loop():
            await self._context.publish(topic, from_user(record))
        else:
            await asyncio.wrap_future(self.write(topic, record))

    async def settle(self) -> None:
        """Wait for what user code started and did not wait for: a record is not done before.
        Raises what the broker raised."""
        for future in list(self._pending):
            await asyncio.wrap_future(future)

    def _on_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False


class UserAgent:
    """What the four kinds share. `needs` is the method that their class must have."""

    needs: ClassVar[str]

    def __init__(self, config: PythonConfig, context: Context) -> None:
        self._config = config
        self._context = context
        code = context.code_directory
        self._code = code.resolve() if code else None
        self._work = CodeThread(f"{context.agent}-work")
        self._aside = CodeThread(f"{context.agent}-aside")  # commits and the like, while `read` waits
        self._one_at_a_time = asyncio.Lock()
        self._user: Any = None
        self._producer: Producer
        self._info: dict[str, Any] = {}
        self._closed = False

    async def start(self) -> None:
        """Load the class, make the object, initialise and start it. Raises ConfigurationError."""
        self._producer = Producer(self._context)
        self._user = (await self._work.run(self._make)).get()
        try:
            context = UserContext(self._context, self._producer)
            await self._optional("init", self._user_configuration(), context)
            await self._optional("start")
            self._info = await self._optional("agent_info") or {}
        except UserCodeError as error:
            raise ConfigurationError(
                f"agent '{self._context.agent}': {self._config.class_name} cannot start: {error}",
                agent=self._context.agent,
            ) from error

    def _make(self) -> Any:
        agent = self._context.agent
        os.environ.update({variable.key: variable.value for variable in self._config.environment})
        open_path(self._code)
        found = load_class(self._config.class_name, self._code, agent)
        if not callable(getattr(found, self.needs, None)):
            raise ConfigurationError(
                f"agent '{agent}': {self._config.class_name} has no method '{self.needs}'", agent=agent
            )
        try:
            return found()
        except (Exception, SystemExit) as error:
            what = UserCodeError(error, self._code)
            raise ConfigurationError(
                f"agent '{agent}': {self._config.class_name}() failed: {what}", agent=agent
            ) from error

    def _user_configuration(self) -> dict[str, Any]:
        configuration = self._config.model_dump(by_alias=True, exclude_unset=True)
        resources = {name: spec.configuration for name, spec in self._context.resources.items()}
        return copy.deepcopy(configuration | {"resources": resources, "globals": dict(self._context.globals)})

    async def close(self) -> None:
        """Once; the user's `close` runs even while another of its methods hangs."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._user is not None:
                await self._optional("close", thread=self._aside if self._work.busy else self._work)
        finally:
            self._work.stop()
            self._aside.stop()

    def info(self) -> dict[str, Any]:
        """The user's `agent_info`; an `async` one answers what it said at start."""
        method = getattr(self._user, "agent_info", None)
        if method is None or iscoroutinefunction(method):
            return self._info
        try:
            return dict(method())
        except Exception as error:
            return {"error": UserCodeError(error, self._code).message}

    async def _optional(self, name: str, *arguments: Any, thread: CodeThread | None = None) -> Any:
        method = getattr(self._user, name, None)
        return None if method is None else await self._call(method, *arguments, thread=thread)

    async def _call(
        self,
        method: Callable[..., Any],
        *arguments: Any,
        thread: CodeThread | None = None,
        finish: Callable[[Any], Any] = lambda result: result,
        hold: bool = False,
    ) -> Any:
        """Call a method of the user's object, and `finish` with its result (in the thread as well,
        since a result may be a generator). Raises UserCodeError."""
        arguments = arguments[: _arity(method)]
        try:
            if iscoroutinefunction(method):
                return await _resolve(method(*arguments), finish)
            thread = thread or self._work
            ended = await thread.run(_call_and_finish, method, arguments, finish, hold=hold)
            return await _resolve(ended.get(), finish)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if self._closed or (task is not None and task.cancelling()):
                raise
            raise UserCodeError(error, self._code) from error  # user code cancelled something of its own
        except (ConfigurationError, RecordError):
            raise
        except (Exception, SystemExit) as error:
            raise UserCodeError(error, self._code) from error


def _call_and_finish(
    method: Callable[..., Any], arguments: tuple[Any, ...], finish: Callable[[Any], Any]
) -> Any:
    result = method(*arguments)
    return result if _pending(result) else finish(result)


async def _resolve(result: Any, finish: Callable[[Any], Any]) -> Any:
    if not _pending(result):
        return result
    while _pending(result):
        future = isinstance(result, concurrent.futures.Future)
        result = await (asyncio.wrap_future(result) if future else result)
    return finish(result)


def _pending(result: Any) -> bool:
    return isinstance(result, concurrent.futures.Future) or isawaitable(result)


def _arity(method: Callable[..., Any]) -> int | None:
    """How many positional arguments a method takes; None: any number."""
    if not inspect.ismethod(method):
        return _positional(method)
    count = _known_positional(method.__func__)  # of the class: asked for every record
    return None if count is None else count - 1


def _positional(function: Callable[..., Any]) -> int | None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in positional for parameter in parameters)


_known_positional = cache(_positional)
