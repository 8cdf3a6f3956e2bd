"""`drop-fields`: removes top-level fields of a JSON key or value."""

from __future__ import annotations

from ....record import Record
from ...api import Context, Declaration, Example
from ...context import TransformContext
from ...transforms import Transform, TransformConfig


class DropFieldsConfig(TransformConfig):
    """`part` absent: both key and value; `key`: the key; any other text: the value."""

    fields: tuple[str, ...]
    part: str | None = None


def create(config: DropFieldsConfig, context: Context) -> Transform:
    def drop_fields(record: TransformContext) -> None:
        for part in record.parts(config.part):
            members = part.writable() or {}
            for name in config.fields:
                members.pop(name, None)

    return Transform(config, drop_fields)


AGENT = Declaration(
    type="drop-fields",
    kind="processor",
    summary="Removes top-level fields from JSON keys and values.",
    config=DropFieldsConfig,
    handler=create,
    example=Example(
        configuration={"fields": ["password"], "part": "value"},
        record=Record('{"name":"Ann","password":"x"}', "k"),
        results=[Record('{"name":"Ann"}', "k")],
    ),
)
