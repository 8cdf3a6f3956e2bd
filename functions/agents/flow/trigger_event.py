"""`trigger-event`: makes a further record for another topic, from a record that passes by.

The further record leaves together with the one at hand, so neither is written without the other.
"""

from __future__ import annotations

from ....record import Record
from ...api import Context, Declaration, Example, Results, Routed
from ...config import AgentConfig, ExpressionText
from ...context import open_record
from ...expressions import compile_expression
from ...fields import FieldConfig, Fields


class TriggerEventConfig(AgentConfig):
    """`fields` are written to a copy of the record, which goes to `destination`."""

    destination: str
    when: ExpressionText = "true"
    fields: tuple[FieldConfig, ...] = ()
    continue_processing: bool = True


class TriggerEvent:
    def __init__(self, config: TriggerEventConfig, context: Context) -> None:
        self._destination = config.destination
        self._condition = compile_expression(config.when, condition=True)
        self._fields = Fields(config.fields)
        self._goes_on = config.continue_processing

    def process(self, record: Record) -> Results:
        event = open_record(record)
        if not self._condition.test(event.scope()):
            return (record,)
        self._fields.write(event)
        sent = Routed(self._destination, event.closed(as_maps=True))
        return (sent, record) if self._goes_on else (sent,)


AGENT = Declaration(
    type="trigger-event",
    kind="processor",
    summary="Sends a copy of a record, with other fields, to another topic when a condition holds.",
    config=TriggerEventConfig,
    handler=TriggerEvent,
    topic_fields=("destination",),
    example=Example(
        configuration={
            "destination": "alarms",
            "when": "value.degrees > 90",
            "fields": [{"name": "value.alarm", "expression": "'too hot'"}],
        },
        record=Record('{"degrees":20}', "oven"),
        results=[Record('{"degrees":20}', "oven")],
    ),
)
