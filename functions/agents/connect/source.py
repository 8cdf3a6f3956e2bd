"""`source`: a source connector of Kafka Connect."""

from __future__ import annotations

from ...api import Declaration, Example
from ._connector import SourceConnectorConfig
from ._elsewhere import CONNECT, refusing

AGENT = Declaration(
    type="source",
    kind="source",
    summary="Reads records with a source connector of Kafka Connect.",
    config=SourceConnectorConfig,
    handler=refusing("source", CONNECT),
    tested="plan only",
    composable=False,
    runs_on=CONNECT,
    example=Example(
        configuration={
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "offset.storage.topic": "offsets",
            "database.hostname": "postgres",
            "topic.prefix": "shop",
        },
    ),
)
