"""`log-event`: writes records, or what is of interest in them, to the log.

The record passes through untouched whatever happens: what cannot be evaluated is only logged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from ....errors import RecordError
from ....record import Record
from ...api import Context, Declaration, Example, Results
from ...config import TemplateText
from ...context import open_record
from ...expressions import UnresolvedProperty, to_text
from ...fields import FieldConfig, Fields
from ...templates import compile_template, template_scope
from ...transforms import TransformConfig

log = logging.getLogger("tidemill.log-event")


class LogEventConfig(TransformConfig):
    """`when`, and what to log: fields, a message, both, or by default the whole record."""

    fields: tuple[FieldConfig, ...] = ()
    message: TemplateText | None = None


class LogEvent:
    def __init__(self, config: LogEventConfig, context: Context) -> None:
        self._agent = context.agent
        self._condition = config.condition()
        self._fields = Fields(config.fields)
        self._message = compile_template(config.message) if config.message else None

    def process(self, record: Record) -> Results:
        try:
            for line in self._lines(record):
                log.info("%s: %s", self._agent, line)
        except (RecordError, UnresolvedProperty) as error:
            log.warning("%s: a record could not be logged: %s", self._agent, error)
        return (record,)

    def _lines(self, record: Record) -> Iterator[str]:
        scope = open_record(record).scope()
        if self._condition is not None and not self._condition.test(scope):
            return
        if not self._fields and self._message is None:
            yield str(record)
        if self._fields:
            yield to_text(dict(self._fields.evaluate(scope)))
        if self._message is not None:
            yield self._message.render(template_scope(scope))


AGENT = Declaration(
    type="log-event",
    kind="processor",
    summary="Writes records, fields of them or a message to the log, and passes them on unchanged.",
    config=LogEventConfig,
    handler=LogEvent,
    example=Example(
        configuration={
            "when": "value.stars < 3",
            "fields": [{"name": "product", "expression": "value.product"}],
            "message": "A bad review of {{{value.product}}}",
        },
        record=Record('{"product":"Aurora","stars":1}', "k"),
        results=[Record('{"product":"Aurora","stars":1}', "k")],
    ),
)
