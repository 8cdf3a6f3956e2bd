"""A stand-in for services that speak OpenAI's protocol: scripted answers over a real socket.

The client is the real `openai` package. Answers are given in the order in which they were scripted;
without a script, chats are echoed and texts get vectors made of their length. Requests are kept.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Usage = tuple[int, int]  # of the prompt, of the answer


@dataclass(frozen=True)
class Reply:
    """One JSON answer."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True)
class Stream:
    """Server-sent events. A gate among them holds the rest back until it is set.

    `broken`: the connection is cut instead of a proper end; `done`: the end is marked.
    """

    events: Sequence[Any | asyncio.Event]
    done: bool = True
    broken: bool = False


class Silence:
    """The request is taken, and never answered."""


Answer = Reply | Stream | Silence


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: Any


def usage(counts: Usage) -> dict[str, int]:
    prompt, answer = counts
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def chat(text: str, *, counts: Usage = (5, 3)) -> Reply:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return Reply({"id": "answer-1", "object": "chat.completion", "choices": [choice], "usage": usage(counts)})


def error(status: int, message: str = "scripted", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply({"error": {"message": message, "type": "scripted"}}, status, named)


def chat_chunk(text: str | None, *, identity: str = "answer-1", finish: str | None = None) -> dict[str, Any]:
    delta = {"content": text} if text is not None else {"role": "assistant"}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": identity, "object": "chat.completion.chunk", "choices": choices}


def chat_stream(*pieces: str, counts: Usage | None = (5, 3), identity: str = "answer-1") -> Stream:
    """As OpenAI streams: the role, the pieces, the finish reason, the usage."""
    events = [chat_chunk(None, identity=identity)]
    events += [chat_chunk(piece, identity=identity) for piece in pieces]
    events.append(chat_chunk("", identity=identity, finish="stop"))
    if counts:
        events.append({"id": identity, "choices": [], "usage": usage(counts)})
    return Stream(events)


def text_chunk(text: str, logprobs: Any = None, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish}
    return {"id": "text-1", "object": "text_completion", "choices": [choice]}


class StandIn:
    """Use with `serving`."""

    def __init__(self) -> None:
        self.script: deque[Answer] = deque()
        self.requests: list[Request] = []
        self.asked = asyncio.Event()
        self.url = ""

    def will(self, *answers: Answer) -> StandIn:
        self.script.extend(answers)
        return self

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read(reader)
            self.requests.append(request)
            self.asked.set()
            await self._answer(self.script.popleft() if self.script else _usual(request), writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        if isinstance(answer, Silence):
            await asyncio.Event().wait()
        elif isinstance(answer, Reply):
            body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            headers = {"content-type": answer.content_type, **answer.headers}
            headers["content-length"] = str(len(body.encode()))
            writer.write(_head(answer.status, headers) + body.encode())
            await writer.drain()
        else:
            await _stream(answer, writer)


async def _stream(answer: Stream, writer: asyncio.StreamWriter) -> None:
    writer.write(_head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))
    for event in [*answer.events, *(["[DONE]"] if answer.done and not answer.broken else [])]:
        if isinstance(event, asyncio.Event):
            await event.wait()
            continue
        data = f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode()
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await writer.drain()
    if not answer.broken:
        writer.write(b"0\r\n\r\n")
        await writer.drain()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} scripted", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read(reader: asyncio.StreamReader) -> Request:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(first.split(" ")[1], headers, json.loads(body or b"null"))


def _usual(request: Request) -> Answer:
    if request.path.partition("?")[0].endswith("/embeddings"):
        given = request.body["input"]
        texts = [given] if isinstance(given, str) else given
        data = [{"index": at, "embedding": [len(text), 0.5]} for at, text in enumerate(texts)]
        return Reply({"data": data, "usage": {"prompt_tokens": len(texts), "total_tokens": len(texts)}})
    if "prompt" in request.body:
        text = text_chunk(" " + request.body["prompt"][0], finish="stop")
        return Stream([text]) if request.body.get("stream") else Reply(text)
    said = request.body["messages"][-1]["content"]
    return chat_stream(said) if request.body.get("stream") else chat(said)


@asynccontextmanager
async def serving() -> AsyncIterator[StandIn]:
    stand_in = StandIn()
    server = await asyncio.start_server(stand_in.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    stand_in.url = f"http://{host}:{port}/v1"
    try:
        yield stand_in
    finally:
        server.close()
