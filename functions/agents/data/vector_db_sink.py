"""`vector-db-sink`: keeps a table of a database equal to what the records say.

The row with a record's primary key is changed, or added if there is none, so a redelivery changes
nothing. A record without value deletes its row. It is done when the database has committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from ....errors import ConfigurationError
from ....record import Record
from ...api import Context, Declaration, Example
from ...config import AgentConfig, ExpressionText, kebab
from ...context import open_record
from ...expressions import Expression, Scope, compile_expression
from ...unit import ResourceSpec
from ._datasource import DATABASE_TYPES, open_datasource


class ColumnConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=kebab, coerce_numbers_to_str=True)

    name: str
    expression: ExpressionText
    primary_key: bool = False


class VectorSinkConfig(AgentConfig):
    """For databases with tables."""

    datasource: str
    table_name: str
    fields: tuple[ColumnConfig, ...]


class VectorSink:
    def __init__(self, config: VectorSinkConfig, context: Context) -> None:
        self._table = config.table_name
        self._keys = _expressions(config, primary=True)
        self._columns = _expressions(config, primary=False)
        if not self._keys or not self._columns:
            raise ConfigurationError(
                "vector-db-sink: 'fields' needs at least one with primary-key: true and one without"
            )
        self._order = [field.name for field in config.fields]
        self._datasource = open_datasource(context, config.datasource)

    async def start(self) -> None:
        await self._datasource.start()
        await self._datasource.prepare(self._table, self._order, list(self._keys))

    async def close(self) -> None:
        await self._datasource.close()

    async def write(self, record: Record) -> None:
        scope = open_record(record).scope()
        keys = _values(self._keys, scope)
        if record.value is None:
            await self._datasource.delete(self._table, keys)
        else:
            await self._datasource.upsert(self._table, keys, _values(self._columns, scope))


def _expressions(config: VectorSinkConfig, *, primary: bool) -> dict[str, Expression]:
    return {
        field.name: compile_expression(field.expression)
        for field in config.fields
        if field.primary_key == primary
    }


def _values(expressions: Mapping[str, Expression], scope: Scope) -> dict[str, Any]:
    return {name: expression.evaluate(scope) for name, expression in expressions.items()}


AGENT = Declaration(
    type="vector-db-sink",
    kind="sink",
    summary="Writes records to a table of a vector database: changes, adds or deletes the row of their key.",
    config=VectorSinkConfig,
    handler=VectorSink,
    extra="sql",
    resource_fields={"datasource": DATABASE_TYPES},
    variants={
        "astra": "agents.data._sink_variants:CassandraSinkConfig",
        "astra-vector-db": "agents.data._sink_variants:AstraVectorSinkConfig",
        "cassandra": "agents.data._sink_variants:CassandraSinkConfig",
        "milvus": "agents.data._sink_variants:MilvusSinkConfig",
        "opensearch": "agents.data._sink_variants:OpenSearchSinkConfig",
        "pinecone": "agents.data._sink_variants:PineconeSinkConfig",
        "solr": "agents.data._sink_variants:SolrSinkConfig",
    },
    example=Example(
        configuration={
            "datasource": "documents",
            "table-name": "documents",
            "fields": [
                {"name": "id", "expression": "key", "primary-key": True},
                {"name": "text", "expression": "value.text"},
                {"name": "embeddings", "expression": "value.embeddings"},
            ],
        },
        record=Record('{"text":"Aurora Sport","embeddings":[0.9,0.1]}', "aurora"),
        results=[],
        resources=[
            ResourceSpec(
                id="documents",
                type="vector-database",
                configuration={"service": "sqlite", "path": ":memory:"},
            )
        ],
    ),
)
