"""Configuration models of `vector-db-sink` for services whose keys are not a table's.

Named by the sink's declaration, imported when the planner meets an agent with such a service.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...config import AgentConfig, kebab
from ...fields import FieldConfig


class _SinkConfig(AgentConfig):
    datasource: str


class CassandraSinkConfig(_SinkConfig):
    """Also for Astra. Every other property with a plain value is an option of DataStax' sink."""

    model_config = ConfigDict(extra="allow")

    table_name: str
    keyspace: str | None = None
    mapping: str

    @model_validator(mode="after")
    def _options_are_plain(self) -> CassandraSinkConfig:
        structured = [name for name, value in (self.model_extra or {}).items() if _is_structure(value)]
        if structured:
            raise ValueError(f"the option '{structured[0]}' must be text, a number or a boolean")
        return self


class PineconeSinkConfig(_SinkConfig):
    """Metadata are `vector.metadata.NAME: EXPRESSION`, or one map `vector.metadata`."""

    model_config = ConfigDict(extra="allow")

    id: str | None = Field(None, alias="vector.id")
    vector: str | None = Field(None, alias="vector.vector")
    namespace: str | None = Field(None, alias="vector.namespace")
    metadata: dict[str, str] = Field(default_factory=dict, alias="vector.metadata")


class MilvusSinkConfig(_SinkConfig):
    collection_name: str | None = None
    database_name: str | None = None
    fields: tuple[FieldConfig, ...]


class BulkParameters(BaseModel):
    """Parameters of OpenSearch's bulk request."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    pipeline: str | None = None
    refresh: Literal["true", "false", "wait_for"] | None = None
    require_alias: bool | None = None
    routing: str | None = None
    timeout: str | None = None
    wait_for_active_shards: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _yaml_booleans(cls, given: Any) -> Any:
        """`refresh: true` is a boolean in YAML, a word in the protocol."""
        if isinstance(given, dict) and isinstance(given.get("refresh"), bool):
            return {**given, "refresh": str(given["refresh"]).lower()}
        return given


class OpenSearchSinkConfig(_SinkConfig):
    """`flush-interval` in milliseconds."""

    id: str | None = None
    fields: tuple[FieldConfig, ...]
    bulk_parameters: BulkParameters | None = None
    flush_interval: int = 1000
    batch_size: int = 10


class SolrSinkConfig(_SinkConfig):
    """`commit-within` in milliseconds; 0: a commit for each record."""

    fields: tuple[FieldConfig, ...]
    commit_within: int = 1000


class AstraVectorSinkConfig(_SinkConfig):
    """The fields `id`, `vector` and `data` are special; other properties are tolerated."""

    model_config = ConfigDict(extra="allow", alias_generator=kebab)

    collection_name: str
    fields: tuple[FieldConfig, ...]


def _is_structure(value: Any) -> bool:
    return isinstance(value, dict | list)
