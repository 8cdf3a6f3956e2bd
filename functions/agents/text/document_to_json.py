"""`document-to-json`: puts text into a JSON object, with the record's headers beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ....record import JsonText, Record
from ...api import Context, Declaration, Example, Results
from ...config import AgentConfig
from ...expressions.javatext import to_json
from ._text import text_of


class DocumentToJsonConfig(AgentConfig):
    text_field: str = "text"
    copy_properties: bool = True


class DocumentToJson:
    def __init__(self, config: DocumentToJsonConfig, context: Context) -> None:
        self._config = config

    def process(self, record: Record) -> Results:
        document: dict[str, Any] = {self._config.text_field: text_of(record.value)}
        if self._config.copy_properties:
            document.update((name, _plain(value)) for name, value in record.headers)
        return (replace(record, value=JsonText(to_json(document))),)


def _plain(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


AGENT = Declaration(
    type="document-to-json",
    kind="processor",
    summary="Turns text into a JSON object that holds it, and the record's headers.",
    config=DocumentToJsonConfig,
    handler=DocumentToJson,
    example=Example(
        configuration={"text-field": "question"},
        record=Record("Why?", "k", (("session", "s1"),)),
        results=[Record('{"question":"Why?","session":"s1"}', "k", (("session", "s1"),))],
    ),
)
