"""`drop`: filters records out."""

from __future__ import annotations

from ....record import Record
from ...api import Context, Declaration, Example
from ...context import TransformContext
from ...transforms import Transform, TransformConfig


class DropConfig(TransformConfig):
    """Only `when`."""


def _drop(context: TransformContext) -> None:
    context.dropped = True


def create(config: DropConfig, context: Context) -> Transform:
    return Transform(config, _drop)


AGENT = Declaration(
    type="drop",
    kind="processor",
    summary="Drops the records for which `when` is true; without it, all.",
    config=DropConfig,
    handler=create,
    example=Example(
        configuration={"when": "value.language != 'en'"},
        record=Record('{"language":"fr","text":"Bonjour"}', "k"),
        results=[],
    ),
)
