"""`http-request`: calls an address, with parameters, headers and a body made from the record."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ....record import Record
from ...api import Context, Declaration, Example, Results
from ...config import AgentConfig
from ...context import open_record, write_field
from ...expressions import read_object
from ...templates import compile_template, template_scope
from ._client import Client, Templates, with_query


class HttpRequestConfig(AgentConfig):
    """`headers`, `query-string` and `body` are templates. Triple braces leave HTML characters alone."""

    url: str
    output_field: str
    method: str = "GET"
    headers: dict[str, str] = Field(default_factory=dict)
    query_string: dict[str, str] = Field(default_factory=dict)
    body: str | None = None
    allow_redirects: bool = True
    handle_cookies: bool = True


class HttpRequest:
    def __init__(self, config: HttpRequestConfig, context: Context) -> None:
        self._config = config
        self._query, self._headers = Templates(config.query_string), Templates(config.headers)
        self._body = compile_template(config.body) if config.body is not None else None
        self._client = Client(redirects=config.allow_redirects, cookies=config.handle_cookies)

    def start(self) -> None:
        self._client.start()

    async def close(self) -> None:
        await self._client.close()

    async def process(self, record: Record) -> Results:
        context = open_record(record)
        scope = context.scope()
        answer = await self._client.fetch(
            self._config.method,
            with_query(self._config.url, self._query.render(scope)),
            headers=self._headers.render(scope),
            body=self._body.render(template_scope(scope)) if self._body else None,
        )
        write_field(context, self._config.output_field, content_of(answer))
        return (context.closed(as_maps=True),)


def content_of(text: str) -> Any:
    """A JSON object as a map, anything else as text."""
    found = read_object(text)
    return found if isinstance(found, dict) else text


AGENT = Declaration(
    type="http-request",
    kind="processor",
    summary="Calls an HTTP address with what the record says, and stores the answer in it.",
    config=HttpRequestConfig,
    handler=HttpRequest,
    extra="http",
    example=Example(
        configuration={
            "url": "https://geocoding.example.com/search",
            "query-string": {"name": "{{{value.city}}}", "count": "1"},
            "output-field": "value.place",
        },
        record=Record('{"city":"Bergen aan Zee"}', "k"),
        results=[Record({"city": "Bergen aan Zee", "place": {"latitude": 52.66, "longitude": 4.63}}, "k")],
    ),
)
