"""The ASGI app of the model process: OpenAI's protocol over the embedded models.

Served by `process`. Each model is loaded by the first request that needs it, so that embeddings do not
pay for chat. One chat runs at a time and others wait in line; a large batch of embeddings gives way
between texts. A client that goes away ends its chat.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from ...errors import TidemillError
from .. import http
from ..http import Receive, Scope, Send
from .chat import Chat
from .embeddings import Embedder, Embedding
from .protocol import (
    MAX_BODY,
    Json,
    RequestError,
    Shape,
    answer,
    embedding_answer,
    embedding_inputs,
    generation,
    model_entry,
    model_list,
)
from .weights import CHAT, EMBEDDINGS, WeightsMissing

MAX_WAITING = 64
EMBEDDING_THREADS = min(4, os.cpu_count() or 1)

_log = logging.getLogger(__name__)
_JSON = (b"content-type", b"application/json")
_SSE = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache"))


class ModelApp:
    """The app and what it has loaded. `on_chat_loaded` runs in the event loop's thread."""

    def __init__(self, private_socket: Path, on_chat_loaded: Callable[[], None]) -> None:
        self._private_socket = private_socket
        self._on_chat_loaded = on_chat_loaded
        self._chat: Chat | None = None
        self._embedder: Embedder | None = None
        self._embedder_lock = threading.Lock()
        self._chat_lane = ThreadPoolExecutor(1, "chat")
        self._embedding_lane = ThreadPoolExecutor(EMBEDDING_THREADS, "embedding")
        self._active = 0
        self._last_use = time.monotonic()

    def idle_seconds(self) -> float:
        """How long no model has been at work."""
        return 0.0 if self._active else time.monotonic() - self._last_use

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] == "GET":
                await _send_json(send, 200, self._look_up(scope["path"]))
            elif scope["method"] == "POST":
                request = await _json_body(receive)
                with self._in_use():
                    await self._work(scope["path"], request, receive, send)
            else:
                raise RequestError(405, f"{scope['method']} is not served here")
        except RequestError as error:
            await _send_json(send, error.status, error.body())
        except TidemillError as error:
            await _send_json(send, 503, _unavailable(error).body())
        except Exception:
            _log.exception("a request failed")
            await _send_json(send, 500, RequestError(500, "the model failed; see the log").body())

    def _look_up(self, path: str) -> Json:
        if path == "/v1/models":
            return model_list()
        if path.startswith("/v1/models/"):
            return model_entry(path.removeprefix("/v1/models/"))
        if path == "/health":
            loaded = {CHAT.name: self._chat is not None, EMBEDDINGS.name: self._embedder is not None}
            return {
                "pid": os.getpid(),
                "loaded": [name for name in loaded if loaded[name]],
                "active": self._active,
                "idle_seconds": round(self.idle_seconds(), 1),
            }
        raise RequestError(404, f"nothing is served at {path}")

    async def _work(self, path: str, request: Json, receive: Receive, send: Send) -> None:
        if path == "/v1/chat/completions":
            await self._generate(request, "chat", receive, send)
        elif path == "/v1/completions":
            await self._generate(request, "text", receive, send)
        elif path == "/v1/embeddings":
            await _send_json(send, 200, await self._embed(request))
        else:
            raise RequestError(404, f"nothing is served at {path}")

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        if self._active >= MAX_WAITING:
            raise RequestError(429, f"{MAX_WAITING} requests are waiting for the embedded models")
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1
            self._last_use = time.monotonic()

    async def _embed(self, request: Json) -> Json:
        texts = embedding_inputs(request)
        loop = asyncio.get_running_loop()
        found: list[Embedding] = []
        for start in range(0, len(texts), EMBEDDING_THREADS):
            batch = texts[start : start + EMBEDDING_THREADS]
            jobs = [loop.run_in_executor(self._embedding_lane, self._embed_one, text) for text in batch]
            found += await asyncio.gather(*jobs)
        return embedding_answer(request, found)

    def _embed_one(self, text: str) -> Embedding:
        with self._embedder_lock:
            if self._embedder is None:
                self._embedder = Embedder()
        return self._embedder.embed(text)

    async def _generate(self, request: Json, shape: Shape, receive: Receive, send: Send) -> None:
        job = generation(request, shape)
        gone = threading.Event()
        watcher = asyncio.create_task(_watch(receive, gone))
        chunks = self._run(job, shape, gone)
        try:
            first = await anext(chunks, None)
            if first is None:  # the client went away while it waited in line
                return
            if job["stream"]:
                await _send_stream(send, first, chunks)
            else:
                await _send_json(send, 200, first)
        finally:
            watcher.cancel()
            await chunks.aclose()

    async def _run(self, job: Json, shape: Shape, gone: threading.Event) -> AsyncGenerator[Json]:
        """The objects of an answer as the chat lane makes them."""
        loop = asyncio.get_running_loop()
        made: asyncio.Queue[Json | None] = asyncio.Queue()

        def emit(raw: Json | None) -> bool:
            loop.call_soon_threadsafe(made.put_nowait, raw)
            return gone.is_set()

        def work() -> None:
            try:
                if not gone.is_set():
                    self._loaded_chat(loop).generate(job, shape, emit)
            finally:
                emit(None)

        done = loop.run_in_executor(self._chat_lane, work)
        try:
            while (raw := await made.get()) is not None:
                yield answer(raw, shape)
            await done
        finally:
            gone.set()

    def _loaded_chat(self, loop: asyncio.AbstractEventLoop) -> Chat:
        if self._chat is None:
            try:
                self._chat = Chat(self._private_socket)
            finally:
                loop.call_soon_threadsafe(self._on_chat_loaded)
        return self._chat


async def _json_body(receive: Receive) -> Json:
    try:
        body = await http.read_body(receive, MAX_BODY)
    except http.ClientGone:
        raise RequestError(400, "the request was cut off") from None
    except http.BodyTooLarge:
        raise RequestError(413, f"the request is larger than {MAX_BODY >> 20} MiB") from None
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise RequestError(400, f"the request is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise RequestError(400, "the request is not a JSON object")
    return found


async def _watch(receive: Receive, gone: threading.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()


async def _send_json(send: Send, status: int, body: Json) -> None:
    headers = [_JSON]
    if status >= 500:
        # What is missing or broken stays so; OpenAI's clients would try again.
        headers.append((b"x-should-retry", b"false"))
    await http.answer(send, status, msgspec.json.encode(body), headers)


async def _send_stream(send: Send, first: Json, rest: AsyncGenerator[Json]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _SSE})
    await _send_event(send, msgspec.json.encode(first))
    try:
        async for chunk in rest:
            await _send_event(send, msgspec.json.encode(chunk))
    except RequestError as error:
        await _send_event(send, msgspec.json.encode(error.body()))
    await _send_event(send, b"[DONE]")
    await send({"type": "http.response.body", "body": b""})


async def _send_event(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": True})


def _unavailable(error: TidemillError) -> RequestError:
    message = f"{error.message}; {error.hint}" if error.hint else error.message
    code = "weights_missing" if isinstance(error, WeightsMissing) else "unavailable"
    return RequestError(503, message, code=code)
