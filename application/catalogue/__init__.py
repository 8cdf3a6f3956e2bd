"""Types of resources and assets: name -> class of its configuration model in this folder.

Read by the planner. Tables of names, so that an application without databases imports no model of
one; a test resolves every row.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Settings

AI_TYPES: Mapping[str, str] = {
    "open-ai-configuration": "resources:OpenAI",
    "hugging-face-configuration": "resources:HuggingFace",
    "vertex-configuration": "resources:Vertex",
    "bedrock-configuration": "resources:Bedrock",
    "ollama-configuration": "resources:Ollama",
}
DATABASE_TYPES = ("datasource", "vector-database")
RESOURCE_TYPES = (*AI_TYPES, *DATABASE_TYPES)
# What `service` of a database may be. LangStream allows some of them for one of the types only.
SERVICES: Mapping[str, str] = {
    "astra": "resources:Astra",
    "astra-vector-db": "resources:AstraVector",
    "cassandra": "resources:Cassandra",
    "jdbc": "resources:Jdbc",
    "milvus": "resources:Milvus",
    "opensearch": "resources:OpenSearch",
    "pinecone": "resources:Pinecone",
    "solr": "resources:Solr",
    "sqlite": "resources:Sqlite",
}
ASSET_TYPES: Mapping[str, str] = {
    "astra-collection": "assets:AstraCollection",
    "astra-keyspace": "assets:AstraKeyspace",
    "cassandra-keyspace": "assets:CassandraKeyspace",
    "cassandra-table": "assets:CassandraTable",
    "jdbc-table": "assets:JdbcTable",
    "milvus-collection": "assets:MilvusCollection",
    "opensearch-index": "assets:OpenSearchIndex",
    "solr-collection": "assets:SolrCollection",
}
# Assets whose `delete-statements` and `deletion-mode: delete` need each other.
SCRIPTED = ("cassandra-table", "cassandra-keyspace", "jdbc-table")


def model(place: str) -> type[Settings]:
    """The model that a row of the tables names."""
    module, name = place.split(":")
    found: type[Settings] = getattr(import_module(f".{module}", __name__), name)
    return found
