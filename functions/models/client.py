"""How an agent reaches the embedded models: OpenAI's own client over the Unix socket.

`connect` is for coroutines, `connect_blocking` for plain code. Before every request the client sees to it
that the model process runs, so one client may be kept for ever: it survives idle stops and kills.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any

from ...errors import MissingExtra
from .process import ensure_running, place

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

# No host is looked up: the transport goes to the socket whatever the name is.
_OPTIONS: dict[str, Any] = {"base_url": "http://tidemill-models/v1", "api_key": "none"}


def connect() -> AsyncOpenAI:
    """A client for the embedded models; close it with `await client.close()`."""
    openai, http = _libraries()
    transport = http.AsyncHTTPTransport(uds=str(place().socket))

    async def wake(request: object) -> None:
        await asyncio.to_thread(ensure_running)

    client = http.AsyncClient(transport=transport, timeout=_timeout(http), event_hooks={"request": [wake]})
    found: AsyncOpenAI = openai.AsyncOpenAI(http_client=client, **_OPTIONS)
    return found


def connect_blocking() -> OpenAI:
    """The same for code without an event loop; close it with `client.close()`."""
    openai, http = _libraries()
    transport = http.HTTPTransport(uds=str(place().socket))

    def wake(request: object) -> None:
        ensure_running()

    client = http.Client(transport=transport, timeout=_timeout(http), event_hooks={"request": [wake]})
    found: OpenAI = openai.OpenAI(http_client=client, **_OPTIONS)
    return found


def _timeout(http: Any) -> Any:
    """Long enough for the last of those who wait in line."""
    return http.Timeout(600.0, connect=10.0)


def _libraries() -> tuple[Any, Any]:
    """OpenAI's package, and the HTTP library that this version of it is built on (httpx or httpx2)."""
    try:
        import openai
    except ImportError as error:
        raise MissingExtra("openai", "ai", "the client of the embedded models") from error
    return openai, importlib.import_module(openai.Timeout.__init__.__module__.partition(".")[0])
