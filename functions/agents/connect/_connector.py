"""Configuration of a Kafka Connect connector: what is not Tidemill's goes to the connector as text."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from ...config import AgentConfig


class ConnectorConfig(AgentConfig):
    """Every other property is the connector's own."""

    model_config = ConfigDict(extra="allow")

    connector_class: str = Field(alias="connector.class")


class SourceConnectorConfig(ConnectorConfig):
    """`offset.storage.topic` is where the connector keeps how far it has read."""

    offset_storage_topic: str | None = Field(None, alias="offset.storage.topic")


class SinkConnectorConfig(ConnectorConfig):
    """`adapterConfig` holds `batchSize` in bytes and `lingerTimeMs`."""

    adapter_config: dict[str, Any] | None = Field(None, alias="adapterConfig")
