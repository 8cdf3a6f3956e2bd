"""Asset types: tables and collections that must exist before an application runs."""

from __future__ import annotations

from typing import Literal

from .base import Settings


class _Asset(Settings):
    datasource: str


class _Scripted(_Asset):
    create_statements: tuple[str, ...]
    delete_statements: tuple[str, ...] | None = None


class CassandraTable(_Scripted):
    table_name: str
    keyspace: str


class CassandraKeyspace(_Scripted):
    keyspace: str


class AstraKeyspace(_Asset):
    keyspace: str


class AstraCollection(_Asset):
    collection_name: str
    vector_dimension: int


class JdbcTable(_Scripted):
    table_name: str


class MilvusCollection(_Asset):
    collection_name: str
    database_name: str | None = None
    create_statements: tuple[str, ...]


class OpenSearchIndex(_Asset):
    mappings: str | None = None
    settings: str | None = None


class SolrStatement(Settings):
    api: Literal["/api/collections", "/schema"]
    method: str = "POST"
    body: str


class SolrCollection(_Asset):
    create_statements: tuple[SolrStatement, ...]
