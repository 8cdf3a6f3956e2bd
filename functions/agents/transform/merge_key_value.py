"""`merge-key-value`: copies the fields of a JSON key into the value."""

from __future__ import annotations

from ....record import Record
from ...api import Context, Declaration, Example
from ...context import TransformContext
from ...transforms import Transform, TransformConfig


class MergeKeyValueConfig(TransformConfig):
    """Only `when`."""


def _merge(context: TransformContext) -> None:
    key, value = context.key.writable(), context.value.writable()
    if key is not None and value is not None:
        for name, member in key.items():
            value.setdefault(name, member)


def create(config: MergeKeyValueConfig, context: Context) -> Transform:
    return Transform(config, _merge)


AGENT = Declaration(
    type="merge-key-value",
    kind="processor",
    summary="Copies fields of a JSON key that the value lacks into the value.",
    config=MergeKeyValueConfig,
    handler=create,
    example=Example(
        record=Record('{"text":"hello"}', '{"id":7}'),
        results=[Record('{"text":"hello","id":7}', '{"id":7}')],
    ),
)
