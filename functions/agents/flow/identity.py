"""`identity`: passes every record on as it is."""

from __future__ import annotations

from ....record import Record
from ...api import Context, Declaration, Example, Results
from ...config import AgentConfig


class IdentityConfig(AgentConfig):
    """No properties."""


class Identity:
    def __init__(self, config: IdentityConfig, context: Context) -> None:
        pass

    def process(self, record: Record) -> Results:
        return (record,)


AGENT = Declaration(
    type="identity",
    kind="processor",
    summary="Passes every record on unchanged.",
    config=IdentityConfig,
    handler=Identity,
    example=Example(record=Record("hello", "k"), results=[Record("hello", "k")]),
)
