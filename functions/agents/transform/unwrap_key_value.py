"""`unwrap-key-value`: drops the key, or puts it in the place of the value."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from ....record import Record
from ...api import Context, Declaration, Example
from ...context import Part, TransformContext
from ...transforms import Transform, TransformConfig


class UnwrapKeyValueConfig(TransformConfig):
    """With `unwrapKey` (also written `unwrap-key`) the key becomes the value."""

    unwrap_key: bool = Field(default=False, validation_alias=AliasChoices("unwrapKey", "unwrap-key"))


def create(config: UnwrapKeyValueConfig, context: Context) -> Transform:
    def unwrap(record: TransformContext) -> None:
        if record.key.schema_type is None:
            return
        if config.unwrap_key:
            record.value = record.key
        record.key = Part(None, None)

    return Transform(config, unwrap)


AGENT = Declaration(
    type="unwrap-key-value",
    kind="processor",
    summary="Removes the key; with `unwrapKey`, after it has become the value.",
    config=UnwrapKeyValueConfig,
    handler=create,
    example=Example(
        configuration={"unwrapKey": True}, record=Record("text", '{"id":7}'), results=[Record('{"id":7}')]
    ),
)
