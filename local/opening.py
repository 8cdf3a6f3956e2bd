"""Which broker a run works on: the embedded one, or the Kafka that the instance names.

Called by `run.py`. The state folder belongs to one run either way. On Kafka it keeps the identity under
which this run writes transactions: whoever starts again with it ends what the run before left open.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ..application.plan import StreamingCluster
from ..brokers.embedded import EmbeddedBroker
from ..brokers.embedded.folder import FolderLock
from ..brokers.protocol import PlatformBroker
from ..functions.placeholders import resolve

_IDENTITY = "kafka-identity"


@asynccontextmanager
async def open_broker(
    cluster: StreamingCluster, state: Path, secrets: Mapping[str, Mapping[str, Any]]
) -> AsyncIterator[PlatformBroker]:
    """Raises StateInUse, BrokerUnavailable and ConfigurationError."""
    opening = _kafka(cluster, state, secrets) if cluster.type == "kafka" else _embedded(state)
    async with opening as broker:
        yield broker


@asynccontextmanager
async def _embedded(state: Path) -> AsyncIterator[PlatformBroker]:
    broker = await EmbeddedBroker.open(state)
    try:
        yield broker
    finally:
        await broker.close()


@asynccontextmanager
async def _kafka(
    cluster: StreamingCluster, state: Path, secrets: Mapping[str, Mapping[str, Any]]
) -> AsyncIterator[PlatformBroker]:
    from ..brokers.kafka import KafkaBroker

    properties = resolve(cluster.configuration.get("admin", {}), {"secrets": secrets})
    # It tells of each attempt to connect, at length; what comes of them are errors of ours.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    lock = FolderLock(state)
    try:
        broker = await KafkaBroker.open(properties, identity=_identity(state))
        try:
            yield broker
        finally:
            await broker.close()
    finally:
        lock.release()


def _identity(state: Path) -> str:
    file = state / _IDENTITY
    if not file.exists():
        file.write_text(uuid.uuid4().hex)
    return file.read_text()
