"""`sink`: a sink connector of Kafka Connect."""

from __future__ import annotations

from ....record import Record
from ...api import Declaration, Example
from ._connector import SinkConnectorConfig
from ._elsewhere import CONNECT, refusing

AGENT = Declaration(
    type="sink",
    kind="sink",
    summary="Writes records with a sink connector of Kafka Connect.",
    config=SinkConnectorConfig,
    handler=refusing("sink", CONNECT),
    tested="plan only",
    composable=False,
    runs_on=CONNECT,
    example=Example(
        configuration={
            "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
            "file": "/tmp/records.txt",
        },
        record=Record("a line", "k"),
    ),
)
