"""What `query` and `query-vector-db` are: a statement run for each record, or each item of a list.

The statement's `?` are filled with the values of expressions, never by text. A record's statements
run one after the other, different records' side by side as far as the database allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ....errors import ConfigurationError
from ...api import Context
from ...config import ExpressionText
from ...context import TransformContext, write_field
from ...expressions import Expression, Scope, compile_expression, empty_scope
from ...transforms import Transform, TransformConfig
from ._datasource import open_datasource

_WHOLE = ("value", "key", "destinationTopic", "messageKey", "topicName", "eventTime")
_OF_MESSAGE = ("value.", "key.", "properties.", "fn:now")
_OF_ITEM = ("record.", "fn:now")


class QueryConfig(TransformConfig):
    datasource: str
    query: str
    fields: tuple[ExpressionText, ...] = ()
    output_field: str
    only_first: bool = False
    mode: Literal["query", "execute"] = "query"
    generated_keys: tuple[str, ...] = ()
    loop_over: ExpressionText | None = None


class Query(Transform):
    def __init__(self, config: QueryConfig, context: Context) -> None:
        super().__init__(config, self._query_items if config.loop_over else self._query)
        self._config = config
        self._parameters = parameters(config)
        if config.loop_over:
            self._items = compile_expression(config.loop_over)
        self._datasource = open_datasource(context, config.datasource)

    async def start(self) -> None:
        await self._datasource.start()

    async def close(self) -> None:
        await self._datasource.close()

    async def _query(self, record: TransformContext) -> None:
        write_field(record, self._config.output_field, await self._run(record.scope()))

    async def _query_items(self, record: TransformContext) -> None:
        """One list for all items: the rows of the first, then those of the second …"""
        found: list[Any] = []
        for item in self._items.evaluate_as(record.scope(), "list") or ():
            result = await self._run({**empty_scope(), "record": item})
            found += result if isinstance(result, list) else [result]
        write_field(record, self._config.output_field, found)

    async def _run(self, scope: Scope) -> Any:
        config = self._config
        values = [parameter.evaluate(scope) for parameter in self._parameters]
        if config.mode == "execute":
            return await self._datasource.execute(config.query, values, config.generated_keys)
        rows = await self._datasource.query(config.query, values)
        if config.only_first:
            return rows[0] if rows else {}
        return rows


def parameters(config: QueryConfig) -> Sequence[Expression]:
    """Raises ConfigurationError for what can only be a slip: an expression that reads no record."""
    wanted, case = (_OF_ITEM, "with") if config.loop_over else (_OF_MESSAGE, "without")
    for text in config.fields:
        whole = not config.loop_over and text in _WHOLE
        if not whole and not any(part in text for part in wanted):
            raise ConfigurationError(
                f"the field '{text}' of the query reads nothing of the record",
                hint=f"{case} loop-over it must contain {' or '.join(wanted)}",
            )
    return [compile_expression(text) for text in config.fields]
