"""`langserve-invoke`: asks a chain that LangServe serves, whole (`/invoke`) or as a stream (`/stream`)."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from pydantic import Field, field_validator

from ....errors import RecordError
from ....record import Record, json_text
from ...api import Context, Declaration, Example, Results
from ...config import AgentConfig
from ...context import open_record, write_field
from ...fields import FieldConfig, Fields
from ..ai._streaming import ChunkWriter
from ._client import MAX_BODY, Client, HttpError, Templates

if TYPE_CHECKING:
    from httpx2 import Response

log = logging.getLogger("tidemill.langserve-invoke")


class LangServeConfig(AgentConfig):
    """`fields` are the entries of the chain's input. `content-field` is where messages hold their text."""

    url: str
    output_field: str = "value"
    content_field: str = "content"
    fields: tuple[FieldConfig, ...] = ()
    stream_to_topic: str | None = None
    stream_response_field: str | None = None
    min_chunks_per_message: int = 20
    method: str = "POST"
    headers: dict[str, str] = Field(default_factory=dict)
    allow_redirects: bool = True
    handle_cookies: bool = True
    debug: bool = False

    @field_validator("url")
    @classmethod
    def _is_an_endpoint(cls, url: str) -> str:
        if not url.endswith(("/invoke", "/stream")):
            raise ValueError("it must end with /invoke or /stream")
        return url


class LangServe:
    def __init__(self, config: LangServeConfig, context: Context) -> None:
        self._config, self._context = config, context
        self._fields, self._headers = Fields(config.fields), Templates(config.headers)
        self._streams = urlsplit(config.url).path.endswith("/stream")
        self._client = Client(redirects=config.allow_redirects, cookies=config.handle_cookies)

    def start(self) -> None:
        self._client.start()

    async def close(self) -> None:
        await self._client.close()

    async def process(self, record: Record) -> Results:
        context = open_record(record)
        scope = context.scope()
        request: dict[str, Any] = {
            "headers": {"content-type": "application/json"} | self._headers.render(scope),
            "body": json_text({"input": dict(self._fields.evaluate(scope))}),
        }
        self._tell("asks", request["body"])
        answer = await (self._stream(record, request) if self._streams else self._invoke(request))
        self._tell("is told", answer)
        write_field(context, self._config.output_field, answer)
        return (context.closed(as_maps=True),)

    async def _invoke(self, request: Mapping[str, Any]) -> str:
        body = await self._client.fetch(self._config.method, self._config.url, **request)
        answer = output_of(body, self._config.content_field)
        if answer is None:
            raise RecordError("langserve-invoke: the answer holds no output")
        return answer

    async def _stream(self, record: Record, request: Mapping[str, Any]) -> str:
        writer, answer_id, pieces = self._writer(record), uuid4().hex, list[str]()
        async with self._client.stream(self._config.method, self._config.url, **request) as response:
            if response.status_code >= 400:
                status = response.status_code
                raise HttpError(self._config.url, f"answers HTTP {status}", status)
            async with aclosing(self._pieces(response)) as found:
                async for piece in found:
                    pieces.append(piece)
                    if writer and piece:
                        await writer.add(answer_id, piece)
        if writer:
            await writer.end()
        return "".join(pieces)

    async def _pieces(self, response: Response) -> AsyncGenerator[str]:
        """The texts of an event stream, up to its end or the end of the connection."""
        size = 0
        async for line in response.aiter_lines():
            size += len(line)
            if size > MAX_BODY:
                raise HttpError(self._config.url, f"sends more than {MAX_BODY} bytes")
            if line.replace(" ", "") == "event:end":
                return
            if line.startswith("data:"):
                yield piece_of(line.removeprefix("data:").strip(), self._config.content_field)

    def _writer(self, record: Record) -> ChunkWriter | None:
        config = self._config
        if not config.stream_to_topic:
            return None
        place = config.stream_response_field or config.output_field
        return ChunkWriter(
            self._context, config.stream_to_topic, place, config.min_chunks_per_message, record
        )

    def _tell(self, what: str, text: str) -> None:
        if self._config.debug:
            log.info("%s %s: %s", self._context.agent, what, text)


def _read(text: str) -> Any:
    """A JSON object or string; anything else as the text that it is."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, dict | str) else text


def piece_of(data: str, content_field: str) -> str:
    """The text in one event of a stream."""
    found = _read(data)
    text = found.get(content_field) if isinstance(found, dict) else found
    return "" if text is None else str(text)


def output_of(body: str, content_field: str) -> str | None:
    """The text in the answer to an `/invoke`."""
    found = _read(body)
    if not isinstance(found, dict):
        return str(found)
    output = found.get("output", found)
    text = output.get(content_field) if isinstance(output, dict) else output
    return None if text is None else text if isinstance(text, str) else json_text(text)


AGENT = Declaration(
    type="langserve-invoke",
    kind="processor",
    summary="Asks a chain served by LangServe and stores its answer, streaming it to a topic if wanted.",
    config=LangServeConfig,
    handler=LangServe,
    extra="http",
    tested="stand-in",
    topic_fields=("stream-to-topic",),
    example=Example(
        configuration={
            "url": "http://langserve.example.com/joke/invoke",
            "fields": [{"name": "topic", "expression": "value.topic"}],
            "output-field": "value.answer",
        },
        record=Record('{"topic":"cats"}', "k"),
        results=[Record({"topic": "cats", "answer": "A joke about cats."}, "k")],
    ),
)
