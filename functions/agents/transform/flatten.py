"""`flatten`: nested Avro records to one level. JSON is refused, as LangStream does.

No serializer of Tidemill yields Avro records yet; until one does, every record is an error that
says so, and the agent exists so that applications which name it load and plan.
"""

from __future__ import annotations

from typing import Literal

from ....errors import RecordError
from ....record import Record
from ...api import Context, Declaration, Example
from ...context import TransformContext
from ...transforms import Transform, TransformConfig


class FlattenConfig(TransformConfig):
    """`part` absent: both key and value."""

    delimiter: str = "_"
    part: Literal["key", "value"] | None = None


def create(config: FlattenConfig, context: Context) -> Transform:
    def flatten(record: TransformContext) -> None:
        for part in record.parts(config.part):
            found = part.schema_type or "null"
            raise RecordError(
                f"flatten works on Avro records, this is {found}; use compute to lift nested fields"
            )

    return Transform(config, flatten)


AGENT = Declaration(
    type="flatten",
    kind="processor",
    summary="Flattens nested Avro records; any other record is an error.",
    config=FlattenConfig,
    handler=create,
    example=Example(configuration={"delimiter": "_"}, record=Record('{"a":{"b":1}}', "k")),
    tested="plan only",
)
